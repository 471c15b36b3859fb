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
  float single, sum;  // of the sums that the bound speaks of
  bool finite;
};

__m256 magnitude_of(__m256 v) { return _mm256_and_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF))); }

// Sums of lanes 0, 1, 4, 5 and of 2, 3, 6, 7, in each of them.
__m256 sum_fours(__m256 v) {
  const __m256 s = _mm256_add_ps(v, _mm256_permute2f128_ps(v, v, 1));
  return _mm256_add_ps(s, _mm256_permute_ps(s, 0xB1));
}

template <SumBound bound>
Extremes extremes_of(const float* x, int64_t length) {
  __m256 single = _mm256_setzero_ps(), sum = single, poison = single;
  for (int64_t i = 0; i < length; i += 8) {
    const __m256 v = load_values(x, i, length), size = magnitude_of(v);
    single = _mm256_max_ps(single, size);
    if constexpr (bound == SumBound::pairs) {
      sum = _mm256_max_ps(sum, magnitude_of(_mm256_add_ps(v, _mm256_permute_ps(v, 0xB1))));
    }
    if constexpr (bound == SumBound::fours) {
      sum = _mm256_max_ps(sum, _mm256_add_ps(magnitude_of(sum_fours(v)), sum_fours(size)));
    }
    poison = _mm256_or_ps(poison, _mm256_sub_ps(v, v));  // zero, or NaN where v is not finite
  }
  const __m256 bad = _mm256_cmp_ps(poison, poison, _CMP_UNORD_Q);
  return {avx2::largest_lane(single), avx2::largest_lane(sum), _mm256_movemask_ps(bad) == 0};
}

struct Scale {
  float value;
  bool finite;  // all inputs are
};

Scale scale_for(const float* x, int64_t length, SumBound bound) {
  Extremes found = {};
  float by_sum = 0;
  switch (bound) {
    case SumBound::singles:
      found = extremes_of<SumBound::singles>(x, length);
      break;
    case SumBound::pairs:
      found = extremes_of<SumBound::pairs>(x, length);
      by_sum = found.sum * (1 / kLargestPair);
      break;
    case SumBound::fours:
      found = extremes_of<SumBound::fours>(x, length);
      by_sum = found.sum * (0.5f / kLargestFour);
      break;
  }
  const float by_single = found.single * (1 / kLargestInteger);
  return {by_single < by_sum ? by_sum : by_single, found.finite};
}

// Four vectors of eight int32 within a byte to 32 bytes in order.
__m256i pack_bytes(const __m256i (&q)[4]) {
  const __m256i words = _mm256_packs_epi32(q[0], q[1]), more = _mm256_packs_epi32(q[2], q[3]);
  const __m256i bytes = _mm256_packs_epi16(words, more);
  return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

// Sums of one subgroup: the pair of int16 for QuantisedPlane::pairs, and the plain total.
int32_t pair_sums(__m256i q, SumBound bound, int32_t& total) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q);
  const __m256i steps = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  total += sum_lanes(steps);
  if (bound == SumBound::fours) {
    __m256i half = _mm256_add_epi32(steps, _mm256_shuffle_epi32(steps, 0x4E));
    half = _mm256_slli_epi32(_mm256_add_epi32(half, _mm256_shuffle_epi32(half, 0xB1)), 3);
    const int32_t low = -_mm256_extract_epi32(half, 0), high = -_mm256_extract_epi32(half, 4);
    return static_cast<int32_t>((static_cast<uint32_t>(low) & 0xFFFF) | static_cast<uint32_t>(high) << 16);
  }
  __m128i s = _mm_add_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
  s = _mm_add_epi16(s, _mm_shuffle_epi32(s, 0x4E));
  s = _mm_add_epi16(s, _mm_shuffle_epi32(s, 0xB1));
  return _mm_cvtsi128_si32(_mm_sub_epi16(_mm_setzero_si128(), _mm_slli_epi16(s, 3)));
}

struct Written {
  int32_t total = 0, squares = 0;
};

struct Place {
  const QuantisedPlane& plane;
  int64_t at;
  SumBound bound;
};

void store_subgroup(const Place& to, int64_t s, __m256i q, Written& written) {
  const auto& [plane, at, bound] = to;
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(plane.values + at * kGroup + s * kSubgroup), q);
  plane.pairs[at * kSubgroups + s] = pair_sums(q, bound, written.total);
  const __m256i low = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(q));
  const __m256i high = _mm256_cvtepi8_epi16(_mm256_extracti128_si256(q, 1));
  written.squares += sum_lanes(_mm256_add_epi32(_mm256_madd_epi16(low, low), _mm256_madd_epi16(high, high)));
}

Written write_main(const float* x, int64_t length, const Place& to, float inverse) {
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
    store_subgroup(to, s, pack_bytes(q), written);
  }
  to.plane.sums[to.at] = -128 * written.total;
  return written;
}

void write_zeros(const Place& to) {
  Written unused;
  for (int64_t s = 0; s < kSubgroups; ++s) store_subgroup(to, s, _mm256_setzero_si256(), unused);
  to.plane.sums[to.at] = 0;
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
    store_subgroup({out.rest, at, out.sum_bound}, s, pack_bytes(q), written);
  }
  out.rest.scales[at] = scale * (1 / kRestSteps);
  out.rest.sums[at] = -128 * written.total;
}

void quantise_group(const float* x, int64_t length, int64_t at, const QuantisedRows& out) {
  const auto [scale, finite] = scale_for(x, length, out.sum_bound);
  const bool overflows = !finite || !(scale < __builtin_inff());
  out.has_rest[at] = 0;
  const Place main = {out.main, at, out.sum_bound};
  if (overflows || scale < kSmallestScale) {
    out.main.scales[at] = overflows ? __builtin_nanf("") : 0.0f;
    write_zeros(main);
    return;
  }
  out.main.scales[at] = scale;
  const Written written = write_main(x, length, main, 1 / scale);
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
