// Products with stored weights, sixteen inputs at a time, with AVX-512: sums of six rows by four outputs fill
// 24 registers.
#include <immintrin.h>

#include "kernels/avx2_math.h"
#include "kernels/matmul/dot_simd.h"

namespace qvl {
namespace {

struct V {
  using Floats = __m512;
  static constexpr int64_t kLanes = 16;
  static constexpr int kRows = 6;

  static Floats load(const float* at) { return _mm512_loadu_ps(at); }
  static void store(float* at, Floats x) { _mm512_storeu_ps(at, x); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }

  template <DType dtype>
  static Floats widen(const std::byte* at) {
    if constexpr (dtype == DType::f32) {
      return _mm512_loadu_ps(at);
    } else {
      const __m256i bits = _mm256_loadu_si256(static_cast<const __m256i*>(static_cast<const void*>(at)));
      if constexpr (dtype == DType::f16) return _mm512_cvtph_ps(bits);
      return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
    }
  }
  // The sums of four vectors.
  static void store_sums(const float* at, float* sums) {
    const __m256 rows[4] = {halves(at), halves(at + kLanes), halves(at + 2 * kLanes),
                            halves(at + 3 * kLanes)};
    _mm_storeu_ps(sums, avx2::sums_of_lanes(rows));
  }

 private:
  static __m256 halves(const float* at) {
    return _mm256_add_ps(_mm256_loadu_ps(at), _mm256_loadu_ps(at + 8));
  }
};

}  // namespace

void dot_add_avx512(const DotArgs& args) { dot_add<V>(args); }
void dot_finish_avx512(const float* parts, float* sums) { dot_finish<V>(parts, sums); }
void dot_widen_avx512(const std::byte* weights, DType dtype, int64_t count, float* out) {
  dot_widen<V>(weights, dtype, count, out);
}

}  // namespace qvl
