// Rounding keys and values to integers with AVX2: eight numbers a step, the last ones masked.
#include <immintrin.h>

#include "kernels/attention/kv_block.h"
#include "kernels/avx2_math.h"

namespace qvl {
namespace {

__m256 load_part(const float* at, int64_t count) { return _mm256_maskload_ps(at, avx2::lanes_below(count)); }

float largest_magnitude(const float* x, int64_t count) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  __m256 largest = _mm256_setzero_ps(), poison = largest;
  for (int64_t i = 0; i < count; i += 8) {
    const __m256 v = load_part(x + i, count - i);
    largest = _mm256_max_ps(_mm256_andnot_ps(sign, v), largest);
    poison = _mm256_add_ps(poison, _mm256_sub_ps(v, v));
  }
  return avx2::largest_lane(largest) + avx2::sum_lanes(poison);
}

// Eight rounded numbers as words.
__m128i rounded(const float* x, int64_t count, __m256 inverse) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  const __m256 scaled = _mm256_mul_ps(load_part(x, count), inverse);
  const __m256 half = _mm256_or_ps(_mm256_and_ps(scaled, sign), _mm256_set1_ps(0.5f));
  const __m256i whole = _mm256_cvttps_epi32(_mm256_add_ps(scaled, half));
  return _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
}

// Calls store(i, eight words, how many of them count).
template <typename Store>
void round_all(const float* x, int64_t count, float scale, Store store) {
  const bool usable = scale > kSmallestKvScale;
  const __m256 inverse = _mm256_set1_ps(usable ? 1 / scale : 0.0f);
  for (int64_t i = 0; i < count; i += 8) {
    const __m128i words = usable ? rounded(x + i, count - i, inverse) : _mm_setzero_si128();
    store(i, words, count - i < 8 ? count - i : 8);
  }
}

void to_words(const float* x, int64_t count, float scale, int16_t* out) {
  round_all(x, count, scale, [&](int64_t i, __m128i words, int64_t kept) {
    alignas(16) int16_t eight[8];
    _mm_store_si128(static_cast<__m128i*>(static_cast<void*>(eight)), words);
    __builtin_memcpy(out + i, eight, static_cast<size_t>(kept) * sizeof *out);
  });
}

void to_bytes(const float* x, int64_t count, float scale, int8_t* out) {
  round_all(x, count, scale, [&](int64_t i, __m128i words, int64_t kept) {
    alignas(16) int8_t sixteen[16];
    _mm_store_si128(static_cast<__m128i*>(static_cast<void*>(sixteen)), _mm_packs_epi16(words, words));
    __builtin_memcpy(out + i, sixteen, static_cast<size_t>(kept));
  });
}

}  // namespace

const KvRounding kKvRoundingAvx2 = {largest_magnitude, to_words, to_bytes};

}  // namespace qvl
