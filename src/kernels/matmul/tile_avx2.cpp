// Tiles with AVX2: VPMADDUBSW multiplies unsigned weights by signed activations and adds neighbours in 16
// bits, which the bounds of QuantisedPlane keep from saturating.
//
// 8 bits: the sums of each step are widened to 32 bits at once (VPMADDWD with ones). 7 bits: those of two
// steps are added before, and widened by their factors. 4 bits: the eight steps of a subgroup stay in 16 bits
// (at most 8 * 2 * 15 * 127 = 30,480), and the widening multiplies by the subgroup's factor for nothing. The
// offsets of the weights, 128 and 8, are taken back by starting from QuantisedPlane's sums and pairs instead
// of zero.
#include <immintrin.h>

#include "kernels/matmul/tile_blocks.h"
#include "kernels/unrolled.h"

namespace qvl {
namespace {

constexpr int64_t kRows = 4;  // rows computed together
constexpr int64_t kSubgroups = kGroup / kSubgroup;

__m256i load(const void* at) { return _mm256_loadu_si256(static_cast<const __m256i*>(at)); }

// sum0 += w0 * x, sum1 += w1 * x, neighbours added, in 16 bits; x: four activations of one row, for all
// lanes. Written out because compilers copy the sums between registers in every step, a third of the
// instructions.
__attribute__((always_inline)) inline void add_products(__m256i& sum0, __m256i& sum1, __m256i w0, __m256i w1,
                                                        const int8_t* x) {
  __m256i four, product;
  asm("vpbroadcastd %[x], %[four]\n\t"
      "vpmaddubsw %[four], %[w0], %[product]\n\t"
      "vpmaddubsw %[four], %[w1], %[four]\n\t"
      "vpaddw %[product], %[sum0], %[sum0]\n\t"
      "vpaddw %[four], %[sum1], %[sum1]"
      : [sum0] "+x"(sum0), [sum1] "+x"(sum1), [four] "=&x"(four), [product] "=&x"(product)
      : [w0] "x"(w0), [w1] "x"(w1), [x] "m"(*static_cast<const int32_t*>(static_cast<const void*>(x))));
}

// The same in 32 bits: pairs of the 16-bit sums are added before they are accumulated.
__attribute__((always_inline)) inline void add_wide_products(__m256i& sum0, __m256i& sum1, __m256i w0,
                                                             __m256i w1, const int8_t* x) {
  __m256i four, product;
  asm("vpbroadcastd %[x], %[four]\n\t"
      "vpmaddubsw %[four], %[w0], %[product]\n\t"
      "vpmaddubsw %[four], %[w1], %[four]\n\t"
      "vpmaddwd %[ones], %[product], %[product]\n\t"
      "vpmaddwd %[ones], %[four], %[four]\n\t"
      "vpaddd %[product], %[sum0], %[sum0]\n\t"
      "vpaddd %[four], %[sum1], %[sum1]"
      : [sum0] "+x"(sum0), [sum1] "+x"(sum1), [four] "=&x"(four), [product] "=&x"(product)
      : [w0] "x"(w0), [w1] "x"(w1), [ones] "x"(_mm256_set1_epi16(1)),
        [x] "m"(*static_cast<const int32_t*>(static_cast<const void*>(x))));
}

// acc[0..7] += sum * (w * x)
void accumulate(float* acc, __m256i sum, __m256 w, __m256 x) {
  const __m256 value = _mm256_cvtepi32_ps(sum);
  _mm256_storeu_ps(acc, _mm256_fmadd_ps(value, _mm256_mul_ps(w, x), _mm256_loadu_ps(acc)));
}

// One panel of eight-bit weights against R rows from `r` on.
template <int R>
void panel_q8(const TileArgs& args, int64_t p, int64_t r) {
  const Q8Block& block = block_at<Q8Block>(args, p);
  const char* ahead = ahead_of(args, p);
  float* acc = args.acc + r * kTileOutputs + p * kPanel;
  __m256i low[R], high[R];
  for (int i = 0; i < R; ++i) low[i] = high[i] = _mm256_set1_epi32(args.sums[r + i]);
  const int8_t* x = args.x + r * kGroup;
  for (int64_t g = 0; g < args.steps / kSubgroupSteps; ++g) {
    if (r == 0) fetch_part<Q8Block>(ahead, g);
#pragma GCC unroll 4
    for (int64_t s = g * kSubgroupSteps; s < (g + 1) * kSubgroupSteps; ++s) {
      const __m256i w0 = load(block.q[s][0]), w1 = load(block.q[s][kPanel / 2]);
      for (int i = 0; i < R; ++i) {
        add_wide_products(low[i], high[i], w0, w1, x + i * kGroup + s * kStep);
      }
    }
  }
  for (int i = 0; i < R; ++i) {
    const __m256 scale = _mm256_set1_ps(args.scales[r + i]);
    accumulate(acc + i * kTileOutputs, low[i], _mm256_loadu_ps(block.scale), scale);
    accumulate(acc + i * kTileOutputs + 8, high[i], _mm256_loadu_ps(block.scale + 8), scale);
  }
}

// The factors of a panel in the order of its two vectors of sums: each twice, for the two halves of a sum,
// and those of a whole subgroup beside each other.
struct PanelFactors {
  alignas(32) int16_t twice[2 * kSubgroups][2][16];
  alignas(32) int16_t pairs[kSubgroups][2][16];
};

void store_words(int16_t* at, __m256i words) {
  _mm256_store_si256(static_cast<__m256i*>(static_cast<void*>(at)), words);
}

void read_factors(const Q7Block& block, PanelFactors& out) {
  const auto words = [&](int64_t half) {
    const void* slots = block.factor[half];
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(static_cast<const __m128i*>(slots)));
  };
  for (int64_t g = 0; g < kSubgroups; ++g) {
    const __m256i first = words(2 * g), second = words(2 * g + 1);
    store_words(out.twice[2 * g][0], _mm256_unpacklo_epi16(first, first));
    store_words(out.twice[2 * g][1], _mm256_unpackhi_epi16(first, first));
    store_words(out.twice[2 * g + 1][0], _mm256_unpacklo_epi16(second, second));
    store_words(out.twice[2 * g + 1][1], _mm256_unpackhi_epi16(second, second));
    store_words(out.pairs[g][0], _mm256_unpacklo_epi16(first, second));
    store_words(out.pairs[g][1], _mm256_unpackhi_epi16(first, second));
  }
}

// Two steps of seven-bit weights (low and high: outputs 0 to 7 and 8 to 15 of each step): their products stay
// in 16 bits together and are widened once, by their factors.
struct TwoSteps {
  __m256i low[2], high[2];
  const int16_t (&factors)[2][16];
};
__attribute__((always_inline)) inline void add_two_steps(__m256i& low, __m256i& high, const TwoSteps& w,
                                                         const int8_t* x) {
  __m256i a, b, c, d;
  asm("vpbroadcastd %[x0], %[a]\n\t"
      "vpbroadcastd %[x1], %[d]\n\t"
      "vpmaddubsw %[a], %[low0], %[b]\n\t"
      "vpmaddubsw %[a], %[high0], %[a]\n\t"
      "vpmaddubsw %[d], %[low1], %[c]\n\t"
      "vpmaddubsw %[d], %[high1], %[d]\n\t"
      "vpaddw %[c], %[b], %[b]\n\t"
      "vpaddw %[d], %[a], %[a]\n\t"
      "vpmaddwd %[f0], %[b], %[b]\n\t"
      "vpmaddwd %[f1], %[a], %[a]\n\t"
      "vpaddd %[b], %[low], %[low]\n\t"
      "vpaddd %[a], %[high], %[high]"
      : [low] "+x"(low), [high] "+x"(high), [a] "=&x"(a), [b] "=&x"(b), [c] "=&x"(c), [d] "=&x"(d)
      : [low0] "x"(w.low[0]), [high0] "x"(w.high[0]), [low1] "x"(w.low[1]), [high1] "x"(w.high[1]),
        [f0] "m"(w.factors[0]), [f1] "m"(w.factors[1]),
        [x0] "m"(*static_cast<const int32_t*>(static_cast<const void*>(x))),
        [x1] "m"(*static_cast<const int32_t*>(static_cast<const void*>(x + kStep))));
}

// Takes the offset of 64 back: 8 times the factors with -8 times the sums of their inputs.
__m256i offset_sum(const PanelFactors& factors, int half, const int32_t* pairs) {
  __m256i sum = _mm256_setzero_si256();
  for (int64_t g = 0; g < kSubgroups; ++g) {
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(load(factors.pairs[g][half]), _mm256_set1_epi32(pairs[g])));
  }
  return _mm256_slli_epi32(sum, 3);
}

// One panel of seven-bit weights against R rows from `r` on.
template <int R>
void panel_q7(const TileArgs& args, const Q7Block& block, const PanelFactors& factors, int64_t r,
              float* acc) {
  __m256i low[R], high[R];
  unrolled<R>([&]<int i>() __attribute__((always_inline)) {
    low[i] = offset_sum(factors, 0, args.pairs + (r + i) * kSubgroups);
    high[i] = offset_sum(factors, 1, args.pairs + (r + i) * kSubgroups);
  });
  const int8_t* x = args.x + r * kGroup;
  for (int64_t s = 0; s < args.steps; s += 2) {
    const TwoSteps w = {{load(block.q[s][0]), load(block.q[s + 1][0])},
                        {load(block.q[s][kPanel / 2]), load(block.q[s + 1][kPanel / 2])},
                        factors.twice[s / kHalfSteps]};
    unrolled<R>([&]<int i>() __attribute__((always_inline)) {
      add_two_steps(low[i], high[i], w, x + i * kGroup + s * kStep);
    });
  }
  unrolled<R>([&]<int i>() __attribute__((always_inline)) {
    const __m256 scale = _mm256_set1_ps(args.scales[r + i]);
    accumulate(acc + i * kTileOutputs, low[i], _mm256_loadu_ps(block.unit), scale);
    accumulate(acc + i * kTileOutputs + 8, high[i], _mm256_loadu_ps(block.unit + 8), scale);
  });
}

// BF16 units of eight outputs.
__m256 units(const uint16_t* bits) {
  const __m128i eight = _mm_loadu_si128(static_cast<const __m128i*>(static_cast<const void*>(bits)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(eight), 16));
}

// Where the weights of a panel come from: nibbles as stored, or the same numbers spread to bytes before.
struct Nibbles {
  const uint8_t* q;
  static void fetch(const char* ahead, int64_t part) { fetch_part<Q4Block>(ahead, part); }
  void step(int64_t s, __m256i& w0, __m256i& w1) const {
    const __m256i mask = _mm256_set1_epi8(15), both = load(q + s * 32);
    w0 = _mm256_and_si256(both, mask);
    w1 = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
  }
};
struct Bytes {
  const uint8_t* q;
  static void fetch(const char*, int64_t) {}  // asked for while they were spread
  void step(int64_t s, __m256i& w0, __m256i& w1) const {
    w0 = load(q + s * 64);
    w1 = load(q + s * 64 + 32);
  }
};

template <int R, typename Weights>
void panel_q4(const TileArgs& args, int64_t p, Weights weights, int64_t r) {
  const Q4Block& block = block_at<Q4Block>(args, p);
  const char* ahead = ahead_of(args, p);
  float* acc = args.acc + r * kTileOutputs + p * kPanel;
  __m256i low[R], high[R];
  for (int i = 0; i < R; ++i) low[i] = high[i] = _mm256_setzero_si256();
  const int8_t* x = args.x + r * kGroup;
  for (int64_t g = 0; g < args.steps / kSubgroupSteps; ++g) {
    if (r == 0) Weights::fetch(ahead, g);
    __m256i sum0[R], sum1[R];  // sixteen bits
    for (int i = 0; i < R; ++i) sum0[i] = sum1[i] = _mm256_set1_epi32(args.pairs[(r + i) * kSubgroups + g]);
    unrolled<kSubgroupSteps>([&]<int k>() __attribute__((always_inline)) {
      const int64_t s = g * kSubgroupSteps + k;
      __m256i w0, w1;
      weights.step(s, w0, w1);
      unrolled<R>([&]<int i>() __attribute__((always_inline)) {
        add_products(sum0[i], sum1[i], w0, w1, x + i * kGroup + s * kStep);
      });
    });
    const __m128i slots =
        _mm_loadu_si128(static_cast<const __m128i*>(static_cast<const void*>(block.factor[g])));
    const __m256i factors = _mm256_cvtepi8_epi16(slots);
    const __m256i factor0 = _mm256_unpacklo_epi16(factors, factors);
    const __m256i factor1 = _mm256_unpackhi_epi16(factors, factors);
    for (int i = 0; i < R; ++i) {
      low[i] = _mm256_add_epi32(low[i], _mm256_madd_epi16(sum0[i], factor0));
      high[i] = _mm256_add_epi32(high[i], _mm256_madd_epi16(sum1[i], factor1));
    }
  }
  for (int i = 0; i < R; ++i) {
    const __m256 scale = _mm256_set1_ps(args.scales[r + i]);
    accumulate(acc + i * kTileOutputs, low[i], units(block.unit), scale);
    accumulate(acc + i * kTileOutputs + 8, high[i], units(block.unit + 8), scale);
  }
}

// Calls body<R>(first row) for all rows, kRows at a time.
template <typename Body>
void each_rows(int64_t rows, Body body) {
  int64_t r = 0;
  for (; r + kRows <= rows; r += kRows) body.template operator()<kRows>(r);
  if (rows - r == 3) body.template operator()<3>(r);
  if (rows - r == 2) body.template operator()<2>(r);
  if (rows - r == 1) body.template operator()<1>(r);
}

void spread(const TileArgs& args, int64_t p, uint8_t* bytes) {
  const Nibbles nibbles{&block_at<Q4Block>(args, p).q[0][0][0]};
  for (int64_t s = 0; s < args.steps; ++s) {
    if (s % kSubgroupSteps == 0) fetch_part<Q4Block>(ahead_of(args, p), s / kSubgroupSteps);
    __m256i w0, w1;
    nibbles.step(s, w0, w1);
    _mm256_storeu_si256(static_cast<__m256i*>(static_cast<void*>(bytes + s * 64)), w0);
    _mm256_storeu_si256(static_cast<__m256i*>(static_cast<void*>(bytes + s * 64 + 32)), w1);
  }
}

void few_rows_q4(const TileArgs& args) {
  each_rows(args.rows, [&]<int R>(int64_t r) {
    for (int64_t p = 0; p < args.panels; ++p) {
      panel_q4<R>(args, p, Nibbles{&block_at<Q4Block>(args, p).q[0][0][0]}, r);
    }
  });
}

void many_rows_q4(const TileArgs& args) {
  alignas(64) uint8_t bytes[kTilePanels][kGroup * kPanel];
  for (int64_t p = 0; p < args.panels; ++p) spread(args, p, bytes[p]);
  each_rows(args.rows, [&]<int R>(int64_t r) {
    for (int64_t p = 0; p < args.panels; ++p) panel_q4<R>(args, p, Bytes{bytes[p]}, r);
  });
}

}  // namespace

void tile_q8_avx2(const TileArgs& args) {
  each_rows(args.rows, [&]<int R>(int64_t r) {
    for (int64_t p = 0; p < args.panels; ++p) panel_q8<R>(args, p, r);
  });
}

void tile_q7_avx2(const TileArgs& args) {
  PanelFactors factors[kTilePanels];
  for (int64_t p = 0; p < args.panels; ++p) read_factors(block_at<Q7Block>(args, p), factors[p]);
  each_rows(args.rows, [&]<int R>(int64_t r) {
    for (int64_t p = 0; p < args.panels; ++p) {
      panel_q7<R>(args, block_at<Q7Block>(args, p), factors[p], r, args.acc + r * kTileOutputs + p * kPanel);
    }
  });
}

void tile_q4_avx2(const TileArgs& args) { args.rows <= 2 * kRows ? few_rows_q4(args) : many_rows_q4(args); }

}  // namespace qvl
