// Attention over blocks with AVX2: both products multiply 16-bit integers and add pairs into 32 bits
// (VPMADDWD), at twice the rate of float32.
#include "kernels/attention/blocked_attention_simd.h"
#include "kernels/attention/pair_products_avx2.h"
#include "kernels/avx2_math.h"

namespace qvl {
namespace {

struct V {
  using Floats = __m256;
  static constexpr int64_t kLanes = 8;
  static constexpr int kPanels = 1;

  static Floats set(float x) { return _mm256_set1_ps(x); }
  static Floats load(const float* at) { return _mm256_loadu_ps(at); }
  static Floats load_part(const float* at, int64_t count) {
    return _mm256_maskload_ps(at, avx2::lanes_below(count));
  }
  static void store(float* at, Floats x) { _mm256_storeu_ps(at, x); }
  static void store_words(int16_t* at, Floats x) {
    const __m256i whole = _mm256_cvtps_epi32(x);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storeu_si128(static_cast<__m128i*>(static_cast<void*>(at)), words);
  }
  static void store_words(int16_t* at, const Floats (&x)[2]) {
    const __m256i mixed = _mm256_packs_epi32(_mm256_cvtps_epi32(x[0]), _mm256_cvtps_epi32(x[1]));
    _mm256_storeu_si256(static_cast<__m256i*>(static_cast<void*>(at)),
                        _mm256_permute4x64_epi64(mixed, _MM_SHUFFLE(3, 1, 2, 0)));
  }
  static Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
  static Floats sub(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
  static Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats div(Floats a, Floats b) { return _mm256_div_ps(a, b); }
  // Of a power of two.
  static Floats exponent(Floats x) {
    const __m256i biased = _mm256_srli_epi32(_mm256_castps_si256(x), 23);
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(biased, _mm256_set1_epi32(127)));
  }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  static Floats max(Floats a, Floats b) { return _mm256_max_ps(a, b); }
  static Floats magnitude(Floats x) {
    return _mm256_and_ps(x, _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF)));
  }
  // x in lanes below `count`, else y.
  static Floats select(int64_t count, Floats x, Floats y) {
    return _mm256_blendv_ps(y, x, _mm256_castsi256_ps(avx2::lanes_below(count > 0 ? count : 0)));
  }
  static Floats exp2_for_weights(Floats x) { return avx2::exp2_for_weights(x); }
  static float largest_lane(Floats x) { return avx2::largest_lane(x); }
  static float sum_lanes(Floats x) { return avx2::sum_lanes(x); }
  static __m128 largest_lanes(const Floats (&rows)[kRows]) { return avx2::largest_lanes(rows); }
  static Floats pair(__m128 low, __m128 high) { return _mm256_set_m128(high, low); }
  static __m128 low(Floats x) { return _mm256_castps256_ps128(x); }
  static __m128 high(Floats x) { return _mm256_extractf128_ps(x, 1); }

  // use<row, vector>(sums of the vector's columns)
  template <int P, typename Use>
  static void pair_products(const PairProducts& in, Use use) {
    static_assert(P == 1);
    alignas(32) avx2::PairSums sums;
    avx2::pair_products(in.rows, in.panels, in.pairs, sums);
    unrolled<kRows>([&]<int r>() __attribute__((always_inline)) {
      use.template operator()<r, 0>(_mm256_cvtepi32_ps(sums[2 * r]));
      use.template operator()<r, 1>(_mm256_cvtepi32_ps(sums[2 * r + 1]));
    });
  }
};

}  // namespace

void blocked_attention_avx2(const BlockedAttentionArgs& args, const BlockedShare& share) {
  run_share<V>(args, share);
}

}  // namespace qvl
