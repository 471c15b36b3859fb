// The search for the factors of 7-bit weights with AVX2, the reference's operations in the reference's order.
#include <limits>

#include "kernels/avx2_math.h"
#include "kernels/matmul/encode.h"
#include "kernels/matmul/encode_q7_rule.h"

namespace qvl {
namespace {

constexpr int kVectors = static_cast<int>(kQ7Half) / 8;

__m256 magnitude(__m256 x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }

float squared_error(const __m256 (&w)[kVectors], float unit, int factor) {
  const __m256 inverse = _mm256_set1_ps(1 / (unit * static_cast<float>(factor)));
  __m256 squares = _mm256_setzero_ps();
  for (const __m256& lanes : w) {
    const __m256 scaled = _mm256_mul_ps(lanes, inverse);
    const __m256 capped = _mm256_min_ps(_mm256_max_ps(scaled, _mm256_set1_ps(-kLargestQ7Level)),
                                        _mm256_set1_ps(kLargestQ7Level));
    const __m256 level = _mm256_round_ps(capped, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m256 rest = _mm256_sub_ps(scaled, level);
    squares = _mm256_add_ps(squares, _mm256_mul_ps(rest, rest));
  }
  return avx2::sum_lanes(squares) * static_cast<float>(factor * factor);
}

}  // namespace

int best_q7_factor_avx2(const float* values, float unit) {
  __m256 w[kVectors];
  for (int v = 0; v < kVectors; ++v) w[v] = _mm256_loadu_ps(values + 8 * v);
  const float largest = avx2::largest_lane(_mm256_max_ps(magnitude(w[0]), magnitude(w[1])));
  static_assert(kVectors == 2);
  if (largest == 0) return 0;
  // Rounded as std::round does: the quotient is positive.
  const float quotient = largest / (kLargestQ7Level * unit);
  const int whole = static_cast<int>(quotient);
  const int middle = whole + (quotient - static_cast<float>(whole) >= 0.5f ? 1 : 0);
  int best = 0;
  float least = std::numeric_limits<float>::infinity();
  const int last = middle + kQ7FactorsAbove < kLargestQ7Factor ? middle + kQ7FactorsAbove : kLargestQ7Factor;
  for (int factor = middle - kQ7FactorsBelow > 1 ? middle - kQ7FactorsBelow : 1; factor <= last; ++factor) {
    const float error = squared_error(w, unit, factor);
    if (error < least) {
      least = error;
      best = factor;
    }
  }
  return best;
}

}  // namespace qvl
