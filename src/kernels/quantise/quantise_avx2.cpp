// The quantisation with AVX2, bit for bit the reference's.
#include "kernels/avx2_math.h"
#include "kernels/quantise/quantise.h"
#include "kernels/quantise/quantise_rule.h"

namespace qvl {
namespace {

constexpr int64_t kSubgroups = kGroup / kSubgroup;

// Eight values from `i` on; zeros beyond the length.
__m256 load_values(const float* x, int64_t i, int64_t length) {
  if (i + 8 <= length) return _mm256_loadu_ps(x + i);
  return _mm256_maskload_ps(x + i, avx2::lanes_below(length - i));
}

int32_t sum_lanes(__m256i v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4E));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xB1));
  return _mm_cvtsi128_si32(s);
}

struct Extremes {
  float single, pair;
  bool finite;
};

Extremes extremes_of(const float* x, int64_t length) {
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
  __m256 single = _mm256_setzero_ps(), pair = single, poison = single;
  for (int64_t i = 0; i < length; i += 8) {
    const __m256 v = load_values(x, i, length);
    const __m256 neighbours = _mm256_add_ps(v, _mm256_permute_ps(v, 0xB1));
    single = _mm256_max_ps(single, _mm256_and_ps(v, magnitude));
    pair = _mm256_max_ps(pair, _mm256_and_ps(neighbours, magnitude));
    poison = _mm256_or_ps(poison, _mm256_sub_ps(v, v));  // zero, or NaN where v is not finite
  }
  const __m256 bad = _mm256_cmp_ps(poison, poison, _CMP_UNORD_Q);
  return {avx2::largest_lane(single), avx2::largest_lane(pair), _mm256_movemask_ps(bad) == 0};
}

// Four vectors of eight int32 within a byte to 32 bytes in order.
__m256i pack_bytes(const __m256i (&q)[4]) {
  const __m256i words = _mm256_packs_epi32(q[0], q[1]), more = _mm256_packs_epi32(q[2], q[3]);
  const __m256i bytes = _mm256_packs_epi16(words, more);
  return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

// Sums of one subgroup: the pair of int16 for QuantisedPlane::pairs, and the plain total.
int32_t pair_sums(__m256i q, int32_t& total) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q);
  total += sum_lanes(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  __m128i s = _mm_add_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
  s = _mm_add_epi16(s, _mm_shuffle_epi32(s, 0x4E));
  s = _mm_add_epi16(s, _mm_shuffle_epi32(s, 0xB1));
  return _mm_cvtsi128_si32(_mm_sub_epi16(_mm_setzero_si128(), _mm_slli_epi16(s, 3)));
}

struct Written {
  int32_t total = 0, squares = 0;
};

void store_subgroup(const QuantisedPlane& plane, int64_t at, int64_t s, __m256i q, Written& written) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(plane.values + at * kGroup + s * kSubgroup), q);
  plane.pairs[at * kSubgroups + s] = pair_sums(q, written.total);
  const __m256i low = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(q));
  const __m256i high = _mm256_cvtepi8_epi16(_mm256_extracti128_si256(q, 1));
  written.squares += sum_lanes(_mm256_add_epi32(_mm256_madd_epi16(low, low), _mm256_madd_epi16(high, high)));
}

Written write_main(const float* x, int64_t length, int64_t at, const QuantisedPlane& plane, float inverse) {
  Written written;
  const __m256 by = _mm256_set1_ps(inverse), limit = _mm256_set1_ps(kLargestInteger);
  const __m256 lower = _mm256_set1_ps(-kLargestInteger);
  for (int64_t s = 0; s < kSubgroups; ++s) {
    __m256i q[4];
    for (int64_t j = 0; j < 4; ++j) {
      const int64_t i = s * kSubgroup + 8 * j;
      const __m256 v = i < length ? load_values(x, i, length) : _mm256_setzero_ps();
      const __m256 scaled = _mm256_max_ps(lower, _mm256_min_ps(limit, _mm256_mul_ps(v, by)));
      q[j] = _mm256_cvtps_epi32(scaled);
    }
    store_subgroup(plane, at, s, pack_bytes(q), written);
  }
  plane.sums[at] = -128 * written.total;
  return written;
}

void write_zeros(int64_t at, const QuantisedPlane& plane) {
  Written unused;
  for (int64_t s = 0; s < kSubgroups; ++s) store_subgroup(plane, at, s, _mm256_setzero_si256(), unused);
  plane.sums[at] = 0;
}

void write_rest(const float* x, int64_t length, int64_t at, const QuantisedRows& out) {
  const float scale = out.main.scales[at];
  const __m256 minus = _mm256_set1_ps(-scale), inverse = _mm256_set1_ps(kRestSteps / scale);
  const __m256 limit = _mm256_set1_ps(64.0f), lower = _mm256_set1_ps(-64.0f);
  const int8_t* main = out.main.values + at * kGroup;
  Written written;
  for (int64_t s = 0; s < kSubgroups; ++s) {
    __m256i q[4];
    for (int64_t j = 0; j < 4; ++j) {
      const int64_t i = s * kSubgroup + 8 * j;
      const __m256 v = i < length ? load_values(x, i, length) : _mm256_setzero_ps();
      const __m256i kept = _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(main + i)));
      const __m256 rest = _mm256_mul_ps(_mm256_fmadd_ps(minus, _mm256_cvtepi32_ps(kept), v), inverse);
      q[j] = _mm256_cvtps_epi32(_mm256_max_ps(lower, _mm256_min_ps(limit, rest)));
    }
    store_subgroup(out.rest, at, s, pack_bytes(q), written);
  }
  out.rest.scales[at] = scale * (1 / kRestSteps);
  out.rest.sums[at] = -128 * written.total;
}

void quantise_group(const float* x, int64_t length, int64_t at, const QuantisedRows& out) {
  const Extremes found = extremes_of(x, length);
  const float by_single = found.single * (1 / kLargestInteger), by_pair = found.pair * (1 / kLargestPair);
  const float scale = by_single < by_pair ? by_pair : by_single;
  const bool overflows = !found.finite || !(scale < __builtin_inff());
  out.has_rest[at] = 0;
  if (overflows || scale < kSmallestScale) {
    out.main.scales[at] = overflows ? __builtin_nanf("") : 0.0f;
    write_zeros(at, out.main);
    return;
  }
  out.main.scales[at] = scale;
  const Written written = write_main(x, length, at, out.main, 1 / scale);
  if (!wants_rest(out.rest_rule, written.squares, length)) return;
  out.has_rest[at] = 1;
  write_rest(x, length, at, out);
}

}  // namespace

void quantise_row_avx2(const float* x, int64_t row, const QuantisedRows& out) {
  for (int64_t g = 0; g < groups_of(out.inputs); ++g) {
    const int64_t left = out.inputs - g * kGroup;
    quantise_group(x + g * kGroup, left < kGroup ? left : kGroup, group_row(out, g, row), out);
  }
}

}  // namespace qvl
