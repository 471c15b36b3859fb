// Products with stored weights, eight inputs at a time, with AVX2, FMA and F16C: sums of three rows by four
// outputs fill twelve registers.
#include <immintrin.h>

#include "kernels/avx2_math.h"
#include "kernels/matmul/dot_simd.h"

namespace qvl {
namespace {

struct V {
  using Floats = __m256;
  static constexpr int64_t kLanes = 8;
  static constexpr int kRows = 3;

  static Floats load(const float* at) { return _mm256_loadu_ps(at); }
  static void store(float* at, Floats x) { _mm256_storeu_ps(at, x); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }

  template <DType dtype>
  static Floats widen(const std::byte* at) {
    if constexpr (dtype == DType::f32) {
      return _mm256_loadu_ps(static_cast<const float*>(static_cast<const void*>(at)));
    } else {
      const __m128i bits = _mm_loadu_si128(static_cast<const __m128i*>(static_cast<const void*>(at)));
      if constexpr (dtype == DType::f16) return _mm256_cvtph_ps(bits);
      return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
    }
  }
  // The sums of four vectors.
  static void store_sums(const float* at, float* sums) {
    const Floats rows[4] = {load(at), load(at + kLanes), load(at + 2 * kLanes), load(at + 3 * kLanes)};
    _mm_storeu_ps(sums, avx2::sums_of_lanes(rows));
  }
};

}  // namespace

void dot_add_avx2(const DotArgs& args) { dot_add<V>(args); }
void dot_finish_avx2(const float* parts, float* sums) { dot_finish<V>(parts, sums); }
void dot_widen_avx2(const std::byte* weights, DType dtype, int64_t count, float* out) {
  dot_widen<V>(weights, dtype, count, out);
}

}  // namespace qvl
