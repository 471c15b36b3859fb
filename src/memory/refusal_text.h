// How a refusal of memory is worded.
#pragma once

#include <string_view>

namespace qvl {

/// What the message of every MemoryRefusal begins with.
constexpr std::string_view kRefusalBegins = "not enough memory for ";

}  // namespace qvl
