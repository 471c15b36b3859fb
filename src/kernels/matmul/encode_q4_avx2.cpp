// The search for 4-bit scales with AVX2, the reference's operations in the reference's order.
#include "kernels/avx2_math.h"
#include "kernels/matmul/encode.h"
#include "kernels/matmul/encode_q4_rule.h"

namespace qvl {
namespace {

constexpr int kVectors = static_cast<int>(kSubgroup) / 8;

struct Fit {
  float scale, gain;
};

Fit refit(const __m256 (&w)[kVectors], float scale) {
  const __m256 inverse = _mm256_set1_ps(1 / scale);
  __m256 products = _mm256_setzero_ps(), squares = products;
  for (const __m256& lanes : w) {
    const __m256 capped = _mm256_min_ps(_mm256_max_ps(_mm256_mul_ps(lanes, inverse), _mm256_set1_ps(-8.0f)),
                                        _mm256_set1_ps(7.0f));
    const __m256 q = _mm256_round_ps(capped, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    products = _mm256_add_ps(products, _mm256_mul_ps(lanes, q));
    squares = _mm256_add_ps(squares, _mm256_mul_ps(q, q));
  }
  const float product = avx2::sum_lanes(products), square = avx2::sum_lanes(squares);
  if (square == 0) return {0, 0};
  return {product / square, product * product / square};
}

float magnitude(float x) { return x < 0 ? -x : x; }

}  // namespace

float best_q4_scale_avx2(const float* values) {
  float extreme = 0;
  for (int i = 0; i < kSubgroup; ++i) {
    if (magnitude(values[i]) > magnitude(extreme)) extreme = values[i];
  }
  if (magnitude(extreme) < 1e-30f) return 0;
  __m256 w[kVectors];
  for (int v = 0; v < kVectors; ++v) w[v] = _mm256_loadu_ps(values + 8 * v);
  Fit best = {0, 0};
  for (float level : kTriedQ4Levels) {
    const Fit fit = refit(w, extreme / level);
    if (fit.gain > best.gain) best = fit;
  }
  if (best.scale == 0) return 0;
  const Fit again = refit(w, best.scale);
  return again.gain > best.gain ? again.scale : best.scale;
}

}  // namespace qvl
