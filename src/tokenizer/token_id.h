// The number of a token, and how many there may be.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qvl {

using TokenId = int32_t;

/// Ids are below this, about seven times the vocabulary of Qwen3: a table by id stays small whatever a file
/// says.
inline constexpr TokenId kMaxTokenIds = 1 << 20;

}  // namespace qvl
