// Pointwise functions with AVX2.
#include "kernels/activation/activation.h"
#include "kernels/avx2_math.h"

namespace qvl {
namespace {

// x = f(x) for all values; the last few through a mask, so that they are computed like the others.
template <typename Function>
void each(float* x, int64_t count, Function f) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) _mm256_storeu_ps(x + i, f(_mm256_loadu_ps(x + i)));
  if (i == count) return;
  const __m256i mask = avx2::lanes_below(count - i);
  _mm256_maskstore_ps(x + i, mask, f(_mm256_maskload_ps(x + i, mask)));
}

// out = f(x, y) for all values; out may be x.
template <typename Function>
void each_pair(const float* x, const float* y, int64_t count, float* out, Function f) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm256_storeu_ps(out + i, f(_mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
  }
  if (i == count) return;
  const __m256i mask = avx2::lanes_below(count - i);
  _mm256_maskstore_ps(out + i, mask, f(_mm256_maskload_ps(x + i, mask), _mm256_maskload_ps(y + i, mask)));
}

// 1 / (1 + exp(-z)); the exponent bounded so that it stays finite, NaN kept.
__m256 sigmoid(__m256 z) {
  const __m256 minus = _mm256_min_ps(_mm256_set1_ps(88.0f), _mm256_sub_ps(_mm256_setzero_ps(), z));
  const __m256 one = _mm256_set1_ps(1.0f);
  return _mm256_div_ps(one, _mm256_add_ps(one, avx2::exp(minus)));
}

// 0.5 (1 + tanh(u)) = sigmoid(2 u)
__m256 gelu_tanh_of(__m256 x) {
  const __m256 cube = _mm256_mul_ps(_mm256_mul_ps(x, x), x);
  const __m256 inner = _mm256_fmadd_ps(_mm256_set1_ps(0.044715f), cube, x);
  return _mm256_mul_ps(x, sigmoid(_mm256_mul_ps(_mm256_set1_ps(1.5957691216f), inner)));
}

// erf by Abramowitz and Stegun 7.1.26, absolute error below 1.5e-7.
__m256 erf(__m256 x) {
  const __m256 sign_bit = _mm256_set1_ps(-0.0f), one = _mm256_set1_ps(1.0f);
  const __m256 sign = _mm256_and_ps(x, sign_bit), z = _mm256_andnot_ps(sign_bit, x);
  const __m256 t = _mm256_div_ps(one, _mm256_fmadd_ps(_mm256_set1_ps(0.3275911f), z, one));
  __m256 p = _mm256_set1_ps(1.061405429f);
  p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(-1.453152027f));
  p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(1.421413741f));
  p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(-0.284496736f));
  p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(0.254829592f));
  const __m256 e = avx2::exp(_mm256_sub_ps(_mm256_setzero_ps(), _mm256_mul_ps(z, z)));
  return _mm256_or_ps(sign, _mm256_fnmadd_ps(_mm256_mul_ps(p, t), e, one));
}

__m256 gelu_erf_of(__m256 x) {
  const __m256 half = _mm256_set1_ps(0.5f);
  const __m256 e = erf(_mm256_mul_ps(x, _mm256_set1_ps(0.70710678f)));
  return _mm256_mul_ps(_mm256_mul_ps(half, x), _mm256_add_ps(_mm256_set1_ps(1.0f), e));
}

void gelu_tanh(float* x, int64_t count) { each(x, count, gelu_tanh_of); }
void gelu_erf(float* x, int64_t count) { each(x, count, gelu_erf_of); }

void silu_multiply(float* gate, const float* up, int64_t count) {
  each_pair(gate, up, count, gate,
            [](__m256 g, __m256 u) { return _mm256_mul_ps(_mm256_mul_ps(g, sigmoid(g)), u); });
}

void add(float* x, const float* y, int64_t count) { each_pair(x, y, count, x, _mm256_add_ps); }

void multiply(const float* x, const float* y, int64_t count, float* out) {
  each_pair(x, y, count, out, _mm256_mul_ps);
}

}  // namespace

const ActivationKernels kAvx2Activations = {gelu_tanh, gelu_erf, silu_multiply, add, multiply};

}  // namespace qvl
