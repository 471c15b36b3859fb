// What the search for the factors of 7-bit weights tries, shared by all instruction sets.
#pragma once

#include <cstdint>

#include "kernels/matmul/blocks.h"

namespace qvl {

constexpr int64_t kQ7Half = kSubgroup / 2;  ///< inputs that share a factor
constexpr float kLargestQ7Level = 63.0f;
/// Factors around the one at which the largest value takes the largest level. Below, it is cut; above, levels
/// fall elsewhere between the values, and the best of several falls is a quarter better than any.
constexpr int kQ7FactorsBelow = 2, kQ7FactorsAbove = 8;
constexpr int kLargestQ7Factor = 127;

}  // namespace qvl
