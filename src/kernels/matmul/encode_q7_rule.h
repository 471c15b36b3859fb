// What the search for the factors of 7-bit weights tries, shared by all instruction sets.
#pragma once

#include <cstdint>

#include "kernels/matmul/blocks.h"

namespace qvl {

constexpr int64_t kQ7Half = kSubgroup / 2;  ///< inputs that share a factor
constexpr float kLargestQ7Level = 63.0f;
/// Factors around the one at which the largest value takes the largest level. A smaller one cuts that value;
/// a larger one moves the levels, which may then lie nearer to the other 15: the best of those tried errs a
/// quarter less than any one of them.
constexpr int kQ7FactorsBelow = 2, kQ7FactorsAbove = 8;
constexpr int kLargestQ7Factor = 127;

}  // namespace qvl
