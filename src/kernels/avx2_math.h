// Functions on eight floats. Only for sources compiled for AVX2; everything here is local to them.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace qvl::avx2 {

/// e^x to about 1e-7 relative; exactly 1 at 0, 0 below -87.3, NaN for NaN. x <= 88.7
///
/// x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor polynomial of degree 7 (error below 6e-9 there).
[[gnu::always_inline]] static inline __m256 exp(__m256 x) {
  const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)),
                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  // ln 2 in two parts, the first with few bits, so that n * first is exact.
  __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
  r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
  __m256 y = _mm256_set1_ps(1.0f / 5040);
  y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(1.0f / 720));
  y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(1.0f / 120));
  y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(1.0f / 24));
  y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(1.0f / 6));
  y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(0.5f));
  y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(1.0f));
  y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(1.0f));
  const __m256i power =
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  y = _mm256_mul_ps(y, _mm256_castsi256_ps(power));
  // Not-less-than lets NaN through.
  return _mm256_and_ps(y, _mm256_cmp_ps(x, _mm256_set1_ps(-87.3f), _CMP_NLT_UQ));
}

/// 2^x for x <= 14 to 1e-4 relative, about what rounding to 13 bits does; exactly 1 at 0, never below 2^-120;
/// NaN for NaN.
///
/// x = n + f with |f| <= 1/2; 2^f by the polynomial of degree 3 of least relative error that is 1 at 0.
[[gnu::always_inline]] static inline __m256 exp2_for_weights(__m256 x) {
  // The second operand is returned where one is NaN.
  const __m256 t = _mm256_max_ps(_mm256_set1_ps(-120.0f), x);
  const __m256i n = _mm256_cvtps_epi32(t);
  const __m256 f = _mm256_sub_ps(t, _mm256_cvtepi32_ps(n));
  __m256 y = _mm256_set1_ps(0.0550089478f);
  y = _mm256_fmadd_ps(y, f, _mm256_set1_ps(0.242210999f));
  y = _mm256_fmadd_ps(y, f, _mm256_set1_ps(0.693282902f));
  y = _mm256_fmadd_ps(y, f, _mm256_set1_ps(1.0f));
  // n is added to the exponent; for NaN it is 2^31, of which the shift leaves nothing.
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(y), _mm256_slli_epi32(n, 23)));
}

/// Lanes below `count`; all from 8 on.
[[gnu::always_inline]] static inline __m256i lanes_below(int64_t count) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count < 8 ? count : 8)), lanes);
}

[[gnu::always_inline]] static inline float largest_lane(__m256 v) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/// Lane r of the result is the largest lane of rows[r].
[[gnu::always_inline]] static inline __m128 largest_lanes(const __m256 (&rows)[4]) {
  const __m256 ab = _mm256_max_ps(_mm256_unpacklo_ps(rows[0], rows[1]), _mm256_unpackhi_ps(rows[0], rows[1]));
  const __m256 cd = _mm256_max_ps(_mm256_unpacklo_ps(rows[2], rows[3]), _mm256_unpackhi_ps(rows[2], rows[3]));
  const __m256d low = _mm256_castps_pd(ab), high = _mm256_castps_pd(cd);
  const __m256 quads = _mm256_max_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(low, high)),
                                     _mm256_castpd_ps(_mm256_unpackhi_pd(low, high)));
  return _mm_max_ps(_mm256_castps256_ps128(quads), _mm256_extractf128_ps(quads, 1));
}

[[gnu::always_inline]] static inline float sum_lanes(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/// Lane r of the result is the sum of rows[r].
[[gnu::always_inline]] static inline __m128 sums_of_lanes(const __m256 (&rows)[4]) {
  const __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(rows[0], rows[1]), _mm256_unpackhi_ps(rows[0], rows[1]));
  const __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(rows[2], rows[3]), _mm256_unpackhi_ps(rows[2], rows[3]));
  const __m256d low = _mm256_castps_pd(ab), high = _mm256_castps_pd(cd);
  const __m256 quads = _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(low, high)),
                                     _mm256_castpd_ps(_mm256_unpackhi_pd(low, high)));
  return _mm_add_ps(_mm256_castps256_ps128(quads), _mm256_extractf128_ps(quads, 1));
}

}  // namespace qvl::avx2
