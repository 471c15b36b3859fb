// Interleaved M-RoPE: which of the three positions turns which pair of a head.
#pragma once

#include <span>

#include "files/model_config.h"
#include "model/positions.h"
#include "ops/ops.h"

namespace qvl {

/// Writes the angles of the tokens at `positions` from row `first` of `table` on, which has room for them.
void write_text_rotary(const TextConfig& config, std::span<const Position> positions, uint64_t first,
                       RotaryTable& table);
/// Angles of the tokens at `positions`. [tokens, head_dim / 2]
RotaryTable text_rotary(const TextConfig& config, std::span<const Position> positions);

}  // namespace qvl
