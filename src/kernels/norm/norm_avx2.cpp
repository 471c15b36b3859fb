// Normalisation with AVX2. Sums in float64, as the reference has them: four lanes of double cost little
// beside the memory they read.
#include <cmath>

#include "kernels/avx2_math.h"
#include "kernels/norm/norm.h"

namespace qvl {
namespace {

struct Halves {
  __m256d low, high;
};

Halves doubles_at(const float* x, int64_t i, int64_t count) {
  const __m256 v = _mm256_maskload_ps(x + i, avx2::lanes_below(count - i));
  return {_mm256_cvtps_pd(_mm256_castps256_ps128(v)), _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1))};
}

double total(__m256d a, __m256d b) {
  const __m256d s = _mm256_add_pd(a, b);
  const __m128d t = _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd(s, 1));
  return _mm_cvtsd_f64(_mm_add_sd(t, _mm_unpackhi_pd(t, t)));
}

// Calls f(x) for each vector and stores what it returns.
template <typename Function>
void each(const float* x, int64_t count, float* y, Function f) {
  for (int64_t i = 0; i < count; i += 8) {
    const __m256i mask = avx2::lanes_below(count - i);
    _mm256_maskstore_ps(y + i, mask, f(_mm256_maskload_ps(x + i, mask), i, mask));
  }
}

void rms_norm(const float* x, int64_t count, const float* weight, double eps, float* y) {
  __m256d a = _mm256_setzero_pd(), b = a;
  for (int64_t i = 0; i < count; i += 8) {
    const Halves v = doubles_at(x, i, count);
    a = _mm256_fmadd_pd(v.low, v.low, a);
    b = _mm256_fmadd_pd(v.high, v.high, b);
  }
  const double mean = total(a, b) / static_cast<double>(count);
  const __m256 scale = _mm256_set1_ps(static_cast<float>(1.0 / std::sqrt(mean + eps)));
  each(x, count, y, [&](__m256 v, int64_t i, __m256i mask) {
    return _mm256_mul_ps(_mm256_maskload_ps(weight + i, mask), _mm256_mul_ps(v, scale));
  });
}

void layer_norm(const float* x, int64_t count, const LayerNormArgs& args, float* y) {
  __m256d a = _mm256_setzero_pd(), b = a;
  for (int64_t i = 0; i < count; i += 8) {
    const Halves v = doubles_at(x, i, count);
    a = _mm256_add_pd(a, v.low);
    b = _mm256_add_pd(b, v.high);
  }
  const double mean = total(a, b) / static_cast<double>(count);
  a = b = _mm256_setzero_pd();
  const __m256d centre = _mm256_set1_pd(mean);
  for (int64_t i = 0; i < count; i += 8) {
    const Halves v = doubles_at(x, i, count);
    const __m256d low = _mm256_sub_pd(v.low, centre), high = _mm256_sub_pd(v.high, centre);
    a = _mm256_fmadd_pd(low, low, a);
    b = _mm256_fmadd_pd(high, high, b);
  }
  // Lanes beyond the end held zeros: each added mean^2 to the squares.
  const auto beyond = static_cast<double>((count + 7) / 8 * 8 - count);
  const double variance = (total(a, b) - beyond * mean * mean) / static_cast<double>(count);
  const __m256 scale = _mm256_set1_ps(static_cast<float>(1.0 / std::sqrt(variance + args.eps)));
  const __m256 middle = _mm256_set1_ps(static_cast<float>(mean));
  each(x, count, y, [&](__m256 v, int64_t i, __m256i mask) {
    const __m256 normal = _mm256_mul_ps(_mm256_sub_ps(v, middle), scale);
    return _mm256_fmadd_ps(normal, _mm256_maskload_ps(args.weight + i, mask),
                           _mm256_maskload_ps(args.bias + i, mask));
  });
}

}  // namespace

const NormKernels kAvx2Norms = {rms_norm, layer_norm};

}  // namespace qvl
