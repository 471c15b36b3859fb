// The tiles with AVX-VNNI: two registers hold sixteen outputs.
#include <immintrin.h>

#include "kernels/matmul/tile_vnni.h"

namespace qvl {
namespace {

const __m256i* vector_at(const void* at) { return static_cast<const __m256i*>(at); }

struct Lanes {
  struct Ints {
    __m256i low, high;
  };
  struct Floats {
    __m256 low, high;
  };
  static constexpr int kQ8Rows = 4, kQ8Panels = 1, kQ4Rows = 3, kQ4Panels = 1, kFewRows = 3, kFewPanels = 1;

  static Ints zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  static Ints load(const uint8_t* at) {
    return {_mm256_loadu_si256(vector_at(at)), _mm256_loadu_si256(vector_at(at + 32))};
  }
  static void store(uint8_t* at, Ints bytes) {
    _mm256_storeu_si256(static_cast<__m256i*>(static_cast<void*>(at)), bytes.low);
    _mm256_storeu_si256(static_cast<__m256i*>(static_cast<void*>(at + 32)), bytes.high);
  }
  static Ints broadcast(const void* at) {
    int32_t four;
    __builtin_memcpy(&four, at, sizeof four);
    return {_mm256_set1_epi32(four), _mm256_set1_epi32(four)};
  }
  // 32 bytes: low nibbles are outputs 0 to 7, high nibbles outputs 8 to 15.
  static Ints nibbles(const void* at) {
    const __m256i mask = _mm256_set1_epi8(15), both = _mm256_loadu_si256(vector_at(at));
    return {_mm256_and_si256(both, mask), _mm256_and_si256(_mm256_srli_epi16(both, 4), mask)};
  }
  // Written out because compilers copy the sums between registers otherwise.
  static void add_products(Ints& sum, Ints weights, Ints x) {
    asm("%{vex%} vpdpbusd %[x], %[weights], %[sum]"
        : [sum] "+x"(sum.low)
        : [weights] "x"(weights.low), [x] "x"(x.low));
    asm("%{vex%} vpdpbusd %[x], %[weights], %[sum]"
        : [sum] "+x"(sum.high)
        : [weights] "x"(weights.high), [x] "x"(x.high));
  }
  // Slots 0-3 and 8-11 are outputs 0 to 7 (blocks.h), the upper halves of the lanes zero.
  static Ints factors(const void* at) {
    const __m256i words = _mm256_cvtepi8_epi16(_mm_loadu_si128(static_cast<const __m128i*>(at)));
    const __m256i none = _mm256_setzero_si256();
    return {_mm256_unpacklo_epi16(words, none), _mm256_unpackhi_epi16(words, none)};
  }
  static void multiply_add(Ints& total, Ints sum, Ints factors) {
    total.low = _mm256_dpwssd_avx_epi32(total.low, sum.low, factors.low);
    total.high = _mm256_dpwssd_avx_epi32(total.high, sum.high, factors.high);
  }
  static Floats scales(const float* at) { return {_mm256_loadu_ps(at), _mm256_loadu_ps(at + 8)}; }
  static Floats scales(const uint16_t* bits) {
    const auto eight = [](const uint16_t* at) {
      const __m128i words = _mm_loadu_si128(static_cast<const __m128i*>(static_cast<const void*>(at)));
      return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16));
    };
    return {eight(bits), eight(bits + 8)};
  }
  // acc[0..15] += sum * (w * x)
  static void accumulate(float* acc, Ints sum, Floats w, float x) {
    const auto eight = [x](float* at, __m256i integers, __m256 scale) {
      const __m256 by = _mm256_mul_ps(scale, _mm256_set1_ps(x));
      _mm256_storeu_ps(at, _mm256_fmadd_ps(_mm256_cvtepi32_ps(integers), by, _mm256_loadu_ps(at)));
    };
    eight(acc, sum.low, w.low);
    eight(acc + 8, sum.high, w.high);
  }
};

}  // namespace

void tile_q8_avxvnni(const TileArgs& args) { tile_q8_vnni<Lanes>(args); }
void tile_q4_avxvnni(const TileArgs& args) { tile_q4_vnni<Lanes>(args); }

}  // namespace qvl
