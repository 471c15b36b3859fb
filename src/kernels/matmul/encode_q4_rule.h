// How 4-bit blocks are filled: what the search for their scales tries, shared by all instruction sets, and
// how levels and units are written.
#pragma once

#include <cstdint>

#include "kernels/matmul/blocks.h"

namespace qvl {

/// Levels that the largest value of a subgroup takes; beyond -8 and 7 it is cut, in favour of the many.
constexpr float kTriedQ4Levels[] = {-7.2f, -7.7f, -8.2f, -8.8f, -9.5f, -10.4f,
                                    6.4f,  6.9f,  7.4f,  8.0f,  8.8f,  9.8f};

/// The unit, as BF16 bits, in which the largest scale of a row is a factor of at most 127.
uint16_t q4_unit(float largest_scale);
/// Writes a level, -8 to 7, at its place.
void write_q4_level(Q4Block& block, int64_t output, int64_t input, int level);

}  // namespace qvl
