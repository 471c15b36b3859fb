// Attention over blocks with AVX-512: the method of blocked_attention_avx2.cpp, with dot products of 16-bit
// pairs (VPDPWSSD) and four rows by 64 keys at once. Scores are kept in units of ln 2.
#include <cmath>

#include "kernels/attention/blocked_attention.h"
#include "kernels/avx512_math.h"
#include "kernels/unrolled.h"

namespace qvl {
namespace {

constexpr int kRows = 4;
constexpr int kPanels = 4;  // panels of 16 columns multiplied together
constexpr int kTiles = 8;   // tiles that pass a block while it stays in the first cache
constexpr float kMasked = -1e30f;
constexpr float kLargestWeight = 8191.0f;  // 64 of them times the largest value fit 32 bits
constexpr float kLog2E = 1.44269504f;
static_assert(kBlockKeys == kPanels * kKvPanel);

const float* floats(const std::byte* at) { return static_cast<const float*>(static_cast<const void*>(at)); }

// Rows of one tile on their way over the blocks. Rows that a short tile lacks are zeros.
struct Tile {
  alignas(64) int16_t q[kRows][kMaxBlockedWidth];
  alignas(64) float sums[kRows][kMaxBlockedWidth];
  alignas(64) float totals[kRows][16];  // of the weights, by lanes
  alignas(16) float q_scale[kRows];     // with log2(e) / sqrt(width)
  alignas(16) float largest[kRows];
  int64_t visible[kRows], visible_to_all;
  int64_t first_row, rows;
};

struct Work {
  alignas(64) int16_t weights[kRows][kMaxBlockedWidth];  // kBlockKeys used
  alignas(16) float keep[kRows];       // how much the sums so far count from here on
  alignas(16) float join[kRows];       // how much this block counts
  alignas(16) float join_scale[kRows];  // the same for its integers
};

// sum += products of pairs of 16 bits. Written out because compilers copy the sums between registers.
[[gnu::always_inline]] inline void add_products(__m512i& sum, __m512i a, __m512i b) {
  asm("vpdpwssd %[a], %[b], %[sum]" : [sum] "+v"(sum) : [a] "v"(a), [b] "v"(b));
}

// Sums over pairs of all rows with P panels of 16 columns. a: rows kMaxBlockedWidth apart; b: panels
// `panel_bytes` apart, each [pairs][16][2].
template <int P>
[[gnu::always_inline]] inline void pair_products(const int16_t* a, const std::byte* b, int64_t panel_bytes,
                                                 int64_t pairs, __m512i (&sums)[kRows][P]) {
  unrolled<kRows>([&]<int r>() __attribute__((always_inline)) {
    unrolled<P>([&]<int p>() __attribute__((always_inline)) { sums[r][p] = _mm512_setzero_si512(); });
  });
  for (int64_t u = 0; u < pairs; ++u) {
    __m512i columns[P];
    unrolled<P>([&]<int p>() __attribute__((always_inline)) {
      columns[p] = _mm512_loadu_si512(b + p * panel_bytes + u * (kKvPanel * 4));
    });
    unrolled<kRows>([&]<int r>() __attribute__((always_inline)) {
      int32_t pair;
      __builtin_memcpy(&pair, a + r * kMaxBlockedWidth + 2 * u, sizeof pair);
      const __m512i both = _mm512_set1_epi32(pair);
      unrolled<P>([&]<int p>() __attribute__((always_inline)) { add_products(sums[r][p], both, columns[p]); });
    });
  }
}

void quantise_query(const float* q, int64_t width, int r, Tile& tile) {
  __m512 largest = _mm512_setzero_ps(), poison = largest;
  for (int64_t i = 0; i < width; i += 16) {
    const __m512 v = _mm512_maskz_loadu_ps(avx512::lanes_below(width - i), q + i);
    largest = _mm512_max_ps(largest, _mm512_abs_ps(v));
    poison = _mm512_or_ps(poison, _mm512_sub_ps(v, v));
  }
  const float scale = _mm512_reduce_max_ps(largest) / kLargestKvInteger;
  const bool finite = _mm512_cmp_ps_mask(poison, poison, _CMP_UNORD_Q) == 0;
  const __m512 inverse = _mm512_set1_ps(finite && scale > 1e-36f ? 1 / scale : 0.0f);
  for (int64_t i = 0; i < width; i += 16) {
    const __m512 v = _mm512_maskz_loadu_ps(avx512::lanes_below(width - i), q + i);
    const __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(finite ? v : _mm512_setzero_ps(), inverse));
    _mm256_storeu_si256(static_cast<__m256i*>(static_cast<void*>(tile.q[r] + i)), _mm512_cvtepi32_epi16(whole));
  }
  tile.q_scale[r] = finite ? scale * kLog2E / std::sqrt(static_cast<float>(width)) : __builtin_nanf("");
}

// Keys of a block that rows see: in most blocks all.
enum class Seen { all, some };

// Maxima of the rows joined with those before; the second operand is returned where one is NaN, so that a
// block of NaN makes the row NaN.
__m128 join_maxima(__m128 block, Tile& tile, Work& work) {
  const __m128 before = _mm_load_ps(tile.largest), now = _mm_max_ps(before, block);
  const __m512 apart = _mm512_insertf32x4(_mm512_castps128_ps512(_mm_sub_ps(before, now)), _mm_sub_ps(block, now), 1);
  const __m512 factors = avx512::exp2_for_weights(apart);
  // A row's first block: nothing before it counts, and zero times a sum of zeros is zero.
  _mm_store_ps(work.keep, _mm512_castps512_ps128(factors));
  const __m128 join = _mm512_extractf32x4_ps(factors, 1);
  _mm_store_ps(work.join, join);
  _mm_store_ps(tile.largest, now);
  return join;
}

// Scores of one block to integer weights: 2^(score - the block's largest) * value scale / weight_scale. What
// is masked has no weight.
template <Seen S>
void weigh_block(const std::byte* block, int64_t width, int64_t first_key, Tile& tile, Work& work) {
  const KvBlockLayout layout{width};
  __m512i products[kRows][kPanels];
  pair_products<kPanels>(tile.q[0], block, layout.key_panel(1), width / 2, products);
  const float* key_scales = floats(block + layout.key_scales());
  const float* value_scales = floats(block + layout.value_scales());
  __m512 scores[kRows][kPanels], largest[kRows];
  unrolled<kRows>([&]<int r>() __attribute__((always_inline)) {
    const __m512 q_scale = _mm512_set1_ps(tile.q_scale[r]);
    unrolled<kPanels>([&]<int p>() __attribute__((always_inline)) {
      const __m512 by = _mm512_mul_ps(_mm512_loadu_ps(key_scales + p * kKvPanel), q_scale);
      scores[r][p] = _mm512_mul_ps(_mm512_cvtepi32_ps(products[r][p]), by);
      if constexpr (S == Seen::some) {
        const __mmask16 seen = avx512::lanes_below(tile.visible[r] - first_key - p * kKvPanel);
        scores[r][p] = _mm512_mask_blend_ps(seen, _mm512_set1_ps(kMasked), scores[r][p]);
      }
    });
    // The second operand of a maximum is returned where one is NaN.
    largest[r] = _mm512_max_ps(_mm512_max_ps(scores[r][0], scores[r][1]),
                               _mm512_max_ps(scores[r][2], scores[r][3]));
  });
  alignas(16) float tops[kRows];
  const __m128 top = avx512::largest_lanes(largest);
  _mm_store_ps(tops, top);
  const __m128 join = join_maxima(top, tile, work);
  unrolled<kRows>([&]<int r>() __attribute__((always_inline)) {
    const __m512 row_top = _mm512_set1_ps(tops[r]);
    __m512 total = _mm512_setzero_ps();
    largest[r] = total;
    unrolled<kPanels>([&]<int p>() __attribute__((always_inline)) {
      __m512 weight = avx512::exp2_for_weights(_mm512_sub_ps(scores[r][p], row_top));
      if constexpr (S == Seen::some) {
        const __mmask16 seen = avx512::lanes_below(tile.visible[r] - first_key - p * kKvPanel);
        weight = _mm512_maskz_mov_ps(seen, weight);
      }
      total = _mm512_add_ps(total, weight);
      scores[r][p] = _mm512_mul_ps(weight, _mm512_loadu_ps(value_scales + p * kKvPanel));
      largest[r] = _mm512_max_ps(scores[r][p], largest[r]);
    });
    const __m512 kept = _mm512_mul_ps(_mm512_load_ps(tile.totals[r]), _mm512_set1_ps(work.keep[r]));
    _mm512_store_ps(tile.totals[r], _mm512_fmadd_ps(total, _mm512_set1_ps(work.join[r]), kept));
  });
  const __m128 scale = _mm_mul_ps(avx512::largest_lanes(largest), _mm_set1_ps(1 / kLargestWeight));
  const __mmask8 usable = _mm_cmp_ps_mask(scale, _mm_set1_ps(1e-36f), _CMP_GT_OQ);
  alignas(16) float inverses[kRows];
  _mm_store_ps(inverses, _mm_maskz_div_ps(usable, _mm_set1_ps(1.0f), scale));
  _mm_store_ps(work.join_scale, _mm_mul_ps(join, scale));
  unrolled<kRows>([&]<int r>() __attribute__((always_inline)) {
    const __m512 inverse = _mm512_set1_ps(inverses[r]);
    unrolled<kPanels>([&]<int p>() __attribute__((always_inline)) {
      const __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(scores[r][p], inverse));
      _mm256_store_si256(static_cast<__m256i*>(static_cast<void*>(work.weights[r] + p * kKvPanel)),
                         _mm512_cvtepi32_epi16(whole));
    });
  });
}

template <int P>
[[gnu::always_inline]] inline void add_panels(const std::byte* block, const KvBlockLayout& layout, int64_t panel,
                                              const Work& work, Tile& tile) {
  __m512i products[kRows][P];
  pair_products<P>(work.weights[0], block + layout.value_panel(panel), kBlockKeys * kKvPanel * 2, kBlockKeys / 2,
                   products);
  unrolled<kRows>([&]<int r>() __attribute__((always_inline)) {
    const __m512 keep = _mm512_set1_ps(work.keep[r]), join = _mm512_set1_ps(work.join_scale[r]);
    unrolled<P>([&]<int p>() __attribute__((always_inline)) {
      float* at = tile.sums[r] + (panel + p) * kKvPanel;
      const __m512 kept = _mm512_mul_ps(_mm512_load_ps(at), keep);
      _mm512_store_ps(at, _mm512_fmadd_ps(_mm512_cvtepi32_ps(products[r][p]), join, kept));
    });
  });
}

void add_block(const std::byte* block, int64_t width, int64_t first_key, Tile& tile, Work& work) {
  if (first_key + kBlockKeys <= tile.visible_to_all) {
    weigh_block<Seen::all>(block, width, first_key, tile, work);
  } else {
    weigh_block<Seen::some>(block, width, first_key, tile, work);
  }
  const KvBlockLayout layout{width};
  const int64_t panels = padded_width(width) / kKvPanel;
  int64_t panel = 0;
  for (; panel + kPanels <= panels; panel += kPanels) add_panels<kPanels>(block, layout, panel, work, tile);
  for (; panel < panels; ++panel) add_panels<1>(block, layout, panel, work, tile);
}

struct RowPlace {
  int64_t query, head;
};
RowPlace place_of(const BlockedAttentionArgs& args, int64_t kv_head, int64_t row) {
  const int64_t group = args.heads / args.kv_heads;
  return {row / group, kv_head * group + row % group};
}

// Queries quantised, sums zero; returns how many keys the tile sees in all.
int64_t begin_tile(const BlockedAttentionArgs& args, int64_t kv_head, Tile& tile) {
  const bool causal = args.mask == AttentionArgs::Mask::causal;
  const int64_t width = args.kv.width;
  int64_t seen = 0;
  tile.visible_to_all = args.keys;
  for (int r = 0; r < kRows; ++r) {
    tile.largest[r] = kMasked;
    tile.visible[r] = args.keys;
    tile.q_scale[r] = 0;
    _mm512_store_ps(tile.totals[r], _mm512_setzero_ps());
    for (int64_t i = 0; i < padded_width(width); i += 16) _mm512_store_ps(tile.sums[r] + i, _mm512_setzero_ps());
    if (r >= tile.rows) {
      for (int64_t i = 0; i < padded_width(width); ++i) tile.q[r][i] = 0;
      continue;
    }
    const RowPlace at = place_of(args, kv_head, tile.first_row + r);
    const int64_t causal_end = args.first + at.query + 1;
    tile.visible[r] = causal && causal_end < args.keys ? causal_end : args.keys;
    seen = tile.visible[r] > seen ? tile.visible[r] : seen;
    tile.visible_to_all = tile.visible[r] < tile.visible_to_all ? tile.visible[r] : tile.visible_to_all;
    quantise_query(args.q + at.query * args.q_stride + at.head * width, width, r, tile);
  }
  return seen;
}

void end_tile(const BlockedAttentionArgs& args, int64_t kv_head, const Tile& tile) {
  const int64_t width = args.kv.width;
  for (int r = 0; r < tile.rows; ++r) {
    const RowPlace at = place_of(args, kv_head, tile.first_row + r);
    float* out = args.out + (at.query * args.heads + at.head) * width;
    const __m512 total = _mm512_set1_ps(_mm512_reduce_add_ps(_mm512_load_ps(tile.totals[r])));
    for (int64_t i = 0; i < width; i += 16) {
      _mm512_mask_storeu_ps(out + i, avx512::lanes_below(width - i),
                            _mm512_div_ps(_mm512_load_ps(tile.sums[r] + i), total));
    }
  }
}

// Rows [begin, end), at most kTiles * kRows.
void run_tiles(const BlockedAttentionArgs& args, int64_t kv_head, int64_t begin, int64_t end) {
  Tile tiles[kTiles];
  Work work;
  int64_t count = 0, seen = 0, tile_seen[kTiles];
  for (int64_t row = begin; row < end; row += kRows, ++count) {
    tiles[count].first_row = row;
    tiles[count].rows = end - row < kRows ? end - row : kRows;
    tile_seen[count] = begin_tile(args, kv_head, tiles[count]);
    seen = tile_seen[count] > seen ? tile_seen[count] : seen;
  }
  for (int64_t first = 0; first < seen; first += kBlockKeys) {
    const std::byte* block = args.kv.block(kv_head, first / kBlockKeys);
    for (int64_t t = 0; t < count; ++t) {
      if (first < tile_seen[t]) add_block(block, args.kv.width, first, tiles[t], work);
    }
  }
  for (int64_t t = 0; t < count; ++t) end_tile(args, kv_head, tiles[t]);
}

}  // namespace

void blocked_attention_avx512(const BlockedAttentionArgs& args, const BlockedShare& share) {
  constexpr int64_t rows = kTiles * kRows;
  for (int64_t row = share.begin; row < share.end; row += rows) {
    run_tiles(args, share.kv_head, row, row + rows < share.end ? row + rows : share.end);
  }
}

}  // namespace qvl
