// Interleaved M-RoPE: which of the three positions turns which pair of a head.
#pragma once

#include <span>

#include "files/model_config.h"
#include "model/positions.h"
#include "ops/ops.h"

namespace qvl {

/// Angles of the tokens at `positions`. [tokens, head_dim / 2]
RotaryTable text_rotary(const TextConfig& config, std::span<const Position> positions);

}  // namespace qvl
