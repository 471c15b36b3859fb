// Functions on sixteen floats. Only for sources compiled for AVX-512; everything here is local to them.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace qvl::avx512 {

/// 2^x to 1e-4 relative, about what rounding to 13 bits does; exactly 1 at 0, 0 where it is too small; NaN
/// for NaN.
///
/// x = n + f with |f| <= 1/2; 2^f by the polynomial of degree 3 of least relative error that is 1 at 0.
[[gnu::always_inline]] static inline __m512 exp2_for_weights(__m512 x) {
  const __m512 f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 y = _mm512_set1_ps(0.0550089478f);
  y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(0.242210999f));
  y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(0.693282902f));
  y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(y, _mm512_sub_ps(x, f));
}

/// Lanes below `count`; all from 16 on.
[[gnu::always_inline]] static inline __mmask16 lanes_below(int64_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xFFFF : (1U << (count > 0 ? count : 0)) - 1);
}

/// Lane r of the result is the largest lane of rows[r]. NaN in a lane is passed on only as maxima do.
[[gnu::always_inline]] static inline __m128 largest_lanes(const __m512 (&rows)[4]) {
  const auto halves = [](__m512 a, __m512 b) __attribute__((always_inline)) {
    return _mm512_max_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  };
  const __m512d ab = _mm512_castps_pd(halves(rows[0], rows[1])),
                cd = _mm512_castps_pd(halves(rows[2], rows[3]));
  const __m512 quads = _mm512_max_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
                                     _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
  const __m256 pairs = _mm256_max_ps(_mm512_castps512_ps256(quads), _mm512_extractf32x8_ps(quads, 1));
  return _mm_max_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
}

}  // namespace qvl::avx512
