// The tiles with AVX-512 VNNI: one register holds sixteen outputs.
#include <immintrin.h>

#include "kernels/matmul/tile_vnni.h"

namespace qvl {
namespace {

struct Lanes {
  using Ints = __m512i;
  static constexpr int kQ8Rows = 6, kQ8Panels = 4, kQ4Rows = 4, kQ4Panels = 4, kFewRows = 8, kFewPanels = 2;

  static Ints zero() { return _mm512_setzero_si512(); }
  static Ints load(const void* at) { return _mm512_loadu_si512(at); }
  static void store(void* at, Ints bytes) { _mm512_storeu_si512(at, bytes); }
  // Four bytes for all outputs.
  static Ints broadcast(const void* at) {
    int32_t four;
    __builtin_memcpy(&four, at, sizeof four);
    return _mm512_set1_epi32(four);
  }
  // 32 bytes: low nibbles are outputs 0 to 7, high nibbles outputs 8 to 15.
  static Ints nibbles(const void* at) {
    const __m512i both = _mm512_broadcast_i64x4(_mm256_loadu_si256(static_cast<const __m256i*>(at)));
    const __m512i shift = _mm512_inserti64x4(zero(), _mm256_set1_epi16(4), 1);
    return _mm512_and_si512(_mm512_srlv_epi16(both, shift), _mm512_set1_epi8(15));
  }
  // Written out because compilers copy the sums between registers otherwise.
  static void add_products(Ints& sum, Ints weights, Ints x) {
    asm("vpdpbusd %[x], %[weights], %[sum]" : [sum] "+v"(sum) : [weights] "v"(weights), [x] "v"(x));
  }
  // Factors in the order of the outputs, the upper halves of the lanes zero.
  static Ints factors(const void* at) {
    const __m128i slots = _mm_loadu_si128(static_cast<const __m128i*>(at));
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_cvtepi8_epi16(slots));
    return _mm512_shuffle_i32x4(wide, wide, 0xD8);
  }
  // Of the sums only the lower halves are read.
  static void multiply_add(Ints& total, Ints sum, Ints factors) {
    asm("vpdpwssd %[factors], %[sum], %[total]"
        : [total] "+v"(total)
        : [sum] "v"(sum), [factors] "v"(factors));
  }
  static __m512 scales(const float* at) { return _mm512_loadu_ps(at); }
  static __m512 scales(const uint16_t* bits) {
    const __m256i words = _mm256_loadu_si256(static_cast<const __m256i*>(static_cast<const void*>(bits)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16));
  }
  // acc[0..15] += sum * (w * x)
  static void accumulate(float* acc, Ints sum, __m512 w, float x) {
    const __m512 scale = _mm512_mul_ps(w, _mm512_set1_ps(x));
    _mm512_storeu_ps(acc, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, _mm512_loadu_ps(acc)));
  }
};

}  // namespace

void tile_q8_avx512(const TileArgs& args) { tile_q8_vnni<Lanes>(args); }
void tile_q4_avx512(const TileArgs& args) { tile_q4_vnni<Lanes>(args); }

}  // namespace qvl
