// Attention over blocks with AVX-512: dot products of 16-bit pairs (VPDPWSSD), four rows by 64 columns at
// once.
#include "kernels/attention/blocked_attention_simd.h"
#include "kernels/avx512_math.h"

namespace qvl {
namespace {

struct V {
  using Floats = __m512;
  static constexpr int64_t kLanes = 16;
  static constexpr int kPanels = 4;

  static Floats set(float x) { return _mm512_set1_ps(x); }
  static Floats load(const float* at) { return _mm512_loadu_ps(at); }
  static Floats load_part(const float* at, int64_t count) {
    return _mm512_maskz_loadu_ps(avx512::lanes_below(count), at);
  }
  static void store(float* at, Floats x) { _mm512_storeu_ps(at, x); }
  static void store_words(int16_t* at, Floats x) {
    _mm256_storeu_si256(static_cast<__m256i*>(static_cast<void*>(at)),
                        _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(x)));
  }
  static void store_words(int16_t* at, const Floats (&x)[1]) { store_words(at, x[0]); }
  static Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  static Floats sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
  static Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats div(Floats a, Floats b) { return _mm512_div_ps(a, b); }
  // Of a power of two.
  static Floats exponent(Floats x) { return _mm512_getexp_ps(x); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
  static Floats magnitude(Floats x) { return _mm512_abs_ps(x); }
  // x in lanes below `count`, else y.
  static Floats select(int64_t count, Floats x, Floats y) {
    return _mm512_mask_blend_ps(avx512::lanes_below(count), y, x);
  }
  static Floats exp2_for_weights(Floats x) { return avx512::exp2_for_weights(x); }
  static float largest_lane(Floats x) { return _mm512_reduce_max_ps(x); }
  static float sum_lanes(Floats x) { return _mm512_reduce_add_ps(x); }
  static __m128 largest_lanes(const Floats (&rows)[kRows]) { return avx512::largest_lanes(rows); }
  static Floats pair(__m128 low, __m128 high) {
    return _mm512_insertf32x4(_mm512_castps128_ps512(low), high, 1);
  }
  static __m128 low(Floats x) { return _mm512_castps512_ps128(x); }
  static __m128 high(Floats x) { return _mm512_extractf32x4_ps(x, 1); }

  // sum += products of pairs of 16 bits. Written out because compilers copy the sums between registers.
  static void add_products(__m512i& sum, __m512i a, __m512i b) {
    asm("vpdpwssd %[a], %[b], %[sum]" : [sum] "+v"(sum) : [a] "v"(a), [b] "v"(b));
  }

  // use<row, vector>(sums of the vector's columns)
  template <int P, typename Use>
  static void pair_products(const PairProducts& in, Use use) {
    __m512i sums[kRows][P];
    unrolled<kRows>([&]<int r>() __attribute__((always_inline)) {
      unrolled<P>([&]<int p>() __attribute__((always_inline)) { sums[r][p] = _mm512_setzero_si512(); });
    });
    for (int64_t u = 0; u < in.pairs; ++u) {
      __m512i columns[P];
      unrolled<P>([&]<int p>() __attribute__((always_inline)) {
        columns[p] = _mm512_loadu_si512(in.panels + p * in.panel_bytes + u * (kKvPanel * 4));
      });
      unrolled<kRows>([&]<int r>() __attribute__((always_inline)) {
        int32_t pair;
        __builtin_memcpy(&pair, in.rows + r * kMaxBlockedWidth + 2 * u, sizeof pair);
        const __m512i both = _mm512_set1_epi32(pair);
        unrolled<P>([&]<int p>()
                        __attribute__((always_inline)) { add_products(sums[r][p], both, columns[p]); });
      });
    }
    unrolled<kRows>([&]<int r>() __attribute__((always_inline)) {
      unrolled<P>([&]<int p>() __attribute__((always_inline)) {
        use.template operator()<r, p>(_mm512_cvtepi32_ps(sums[r][p]));
      });
    });
  }
};

}  // namespace

void blocked_attention_avx512(const BlockedAttentionArgs& args, const BlockedShare& share) {
  run_share<V>(args, share);
}

}  // namespace qvl
