// The numbers of the quantisation rule, shared by all instruction sets.
#pragma once

#include <cstdint>

#include "kernels/quantise/quantised_rows.h"

namespace qvl {

constexpr float kLargestInteger = 127.0f;
// Half a unit below 128, so that two neighbours rounded up stay within it.
constexpr float kLargestPair = 127.5f;
// Two below 258: each of four may be rounded up by a half.
constexpr float kLargestFour = 256.0f;
// Below this a scale would be a denormal number: such a group counts as zeros.
constexpr float kSmallestScale = 1e-36f;
constexpr float kRestSteps = 128.0f;  // steps of the rest in a step of the main plane
// 127^2 / 6^2 and 127^2 / 12^2: mean squares of integers whose largest is so many times as large as is usual.
constexpr int kOutlyingSquares = 448, kExtremeSquares = 112;

inline bool wants_rest(RestRule rule, int64_t squares, int64_t length) {
  if (rule == RestRule::all) return true;
  return squares < (rule == RestRule::extreme ? kExtremeSquares : kOutlyingSquares) * length;
}

}  // namespace qvl
