// Attention over blocks for any register width: tiles of four rows, one block of 64 keys after another, with
// a running softmax (Milakov and Gimelshein 2018; Dao et al. 2022). A block stays in the first cache while
// several tiles pass. Only for blocked_attention_avx2.cpp and its like, which define `V`: vectors of floats
// and products of pairs of 16-bit integers.
//
// Scores are in units of ln 2, so that weights are powers of two, and each has the binary logarithm of its
// value's scale added: 2^score is then the weight of the value's integers themselves. Weights become integers
// that are scaled by their block's own largest one, so that a block far below the running maximum keeps its
// precision.
#pragma once

#include <immintrin.h>

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/attention/blocked_attention.h"
#include "kernels/attention/widen_block.h"
#include "kernels/unrolled.h"

namespace qvl {
namespace {

constexpr int kRows = 4;
constexpr int kTiles = 8;          // tiles that pass a block while it stays in the first cache
constexpr float kMasked = -1e30f;  // finite, so that differences of two masked scores are
constexpr float kWeightBits = 13;  // 64 weights of 2^13 times the largest value fit 32 bits
constexpr float kLog2E = 1.44269504f;
// A value whose scale is further than this below the largest of its block counts as if it were not: 2^-60 of
// what its neighbours hold cannot be seen beside them, and exponents stay in range.
constexpr float kLeastShare = 0x1p-60f;

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

// The scales of a block's values, for all tiles that pass it: powers of two.
struct ValueScales {
  alignas(64) float exponents[kBlockKeys];
  alignas(64) float inverses[kBlockKeys];
};

// What becomes of one tile and one block, before it is added to the sums.
struct Work {
  ValueScales values;
  alignas(64) float scores[kRows][kBlockKeys];
  alignas(64) int16_t weights[kRows][kMaxBlockedWidth];  // kBlockKeys used
  alignas(16) float top[kRows];                          // largest score of the block
  alignas(16) float keep[kRows];                         // how much the sums so far count from here on
  alignas(16) float join[kRows];                         // how much this block counts
};

// Rows of integers kMaxBlockedWidth apart, and panels of 16 columns: [pairs][16][2] each, panel_bytes apart.
struct PairProducts {
  const int16_t* rows;
  const std::byte* panels;
  int64_t panel_bytes, pairs;
};

// Keys of a block that rows see: in most blocks all.
enum class Seen { all, some };

template <typename V>
void quantise_query(const float* q, int64_t width, int r, Tile& tile) {
  using Floats = typename V::Floats;
  Floats largest = V::set(0), poison = largest;
  for (int64_t i = 0; i < width; i += V::kLanes) {
    const Floats v = V::load_part(q + i, width - i);
    largest = V::max(largest, V::magnitude(v));
    poison = V::add(poison, V::sub(v, v));
  }
  const float scale = V::largest_lane(largest) / kLargestKvInteger;
  const bool finite = V::sum_lanes(poison) == 0;
  const Floats inverse = V::set(finite && scale > 1e-36f ? 1 / scale : 0.0f);
  for (int64_t i = 0; i < width; i += V::kLanes) {
    const Floats v = finite ? V::load_part(q + i, width - i) : V::set(0);
    V::store_words(tile.q[r] + i, V::mul(v, inverse));
  }
  tile.q_scale[r] = finite ? scale * kLog2E / std::sqrt(static_cast<float>(width)) : __builtin_nanf("");
}

// The running maxima of the rows joined with the block's. Lanes are rows here.
template <typename V>
[[gnu::always_inline]] inline void join_maxima(__m128 top, Tile& tile, Work& work) {
  // The second operand of a maximum is returned where one is NaN: a block of NaN makes the row NaN.
  const __m128 before = _mm_load_ps(tile.largest), now = _mm_max_ps(before, top);
  const auto factors = V::exp2_for_weights(V::pair(_mm_sub_ps(before, now), _mm_sub_ps(top, now)));
  _mm_store_ps(tile.largest, now);
  _mm_store_ps(work.top, top);
  _mm_store_ps(work.keep, V::low(factors));
  _mm_store_ps(work.join, V::high(factors));
}

template <typename V>
void read_value_scales(const std::byte* block, int64_t width, ValueScales& out) {
  const float* scales = floats(block + KvBlockLayout{width}.value_scales());
  auto largest = V::set(0);
  // The second operand is returned where one is NaN: such a value has marked its key, and no one else's.
  for (int64_t key = 0; key < kBlockKeys; key += V::kLanes) largest = V::max(V::load(scales + key), largest);
  const float top = V::largest_lane(largest);
  const auto least = V::set(top > 0 ? top * kLeastShare : 1.0f);
  for (int64_t key = 0; key < kBlockKeys; key += V::kLanes) {
    const auto scale = V::max(V::load(scales + key), least);
    V::store(out.exponents + key, V::exponent(scale));
    V::store(out.inverses + key, V::div(V::set(1), scale));
  }
}

// Scores of one block; the maxima joined.
template <typename V, Seen S>
void score_block(const std::byte* block, int64_t width, int64_t first_key, Tile& tile, Work& work) {
  using Floats = typename V::Floats;
  constexpr int64_t part = V::kPanels * kKvPanel;
  const KvBlockLayout layout{width};
  Floats largest[kRows];
  for (Floats& row : largest) row = V::set(kMasked);
  for (int64_t first = 0; first < kBlockKeys; first += part) {
    const float* scales = floats(block + layout.key_scales()) + first;
    V::template pair_products<V::kPanels>(
        {.rows = tile.q[0],
         .panels = block + layout.key_panel(first / kKvPanel),
         .panel_bytes = layout.key_panel(1),
         .pairs = width / 2},
        [&]<int r, int i>(Floats sums) __attribute__((always_inline)) {
          constexpr int64_t lane = i * V::kLanes;
          const Floats exponents = V::load(work.values.exponents + first + lane);
          Floats score =
              V::multiply_add(V::mul(sums, V::load(scales + lane)), V::set(tile.q_scale[r]), exponents);
          if constexpr (S == Seen::some) {
            score = V::select(tile.visible[r] - first_key - first - lane, score, V::set(kMasked));
          }
          V::store(work.scores[r] + first + lane, score);
          // The second operand is returned where one is NaN.
          largest[r] = V::max(score, largest[r]);
        });
  }
  join_maxima<V>(V::largest_lanes(largest), tile, work);
}

// Scores to weights: 2^(score - the block's largest), in integers, and their totals, each over the scale of
// its value. What is masked has none.
template <typename V, Seen S>
void weigh_block(int64_t first_key, Tile& tile, Work& work) {
  using Floats = typename V::Floats;
  for (int r = 0; r < kRows; ++r) {
    const Floats top = V::set(work.top[r] - kWeightBits);
    Floats total = V::set(0);
    for (int64_t key = 0; key < kBlockKeys; key += kKvPanel) {
      Floats weights[kKvPanel / V::kLanes];
      unrolled<kKvPanel / V::kLanes>([&]<int i>() __attribute__((always_inline)) {
        constexpr int64_t lane = i * V::kLanes;
        weights[i] = V::exp2_for_weights(V::sub(V::load(work.scores[r] + key + lane), top));
        if constexpr (S == Seen::some) {
          weights[i] = V::select(tile.visible[r] - first_key - key - lane, weights[i], V::set(0));
        }
        total = V::multiply_add(weights[i], V::load(work.values.inverses + key + lane), total);
      });
      V::store_words(work.weights[r] + key, weights);
    }
    const Floats kept = V::mul(V::load(tile.totals[r]), V::set(work.keep[r]));
    V::store(tile.totals[r], V::multiply_add(total, V::set(work.join[r]), kept));
  }
}

// Adds the values of P panels of dimensions, weighted.
template <typename V, int P>
void add_values(const std::byte* block, const KvBlockLayout& layout, int64_t panel, Work& work, Tile& tile) {
  using Floats = typename V::Floats;
  V::template pair_products<P>(
      {.rows = work.weights[0],
       .panels = block + layout.value_panel(panel),
       .panel_bytes = kBlockKeys * kKvPanel * 2,
       .pairs = kBlockKeys / 2},
      [&]<int r, int i>(Floats sums) __attribute__((always_inline)) {
        float* at = tile.sums[r] + panel * kKvPanel + i * V::kLanes;
        const Floats kept = V::mul(V::load(at), V::set(work.keep[r]));
        V::store(at, V::multiply_add(sums, V::set(work.join[r]), kept));
      });
}

template <typename V>
void add_block(const std::byte* block, int64_t width, int64_t first_key, Tile& tile, Work& work) {
  if (first_key + kBlockKeys <= tile.visible_to_all) {
    score_block<V, Seen::all>(block, width, first_key, tile, work);
    weigh_block<V, Seen::all>(first_key, tile, work);
  } else {
    score_block<V, Seen::some>(block, width, first_key, tile, work);
    weigh_block<V, Seen::some>(first_key, tile, work);
  }
  const KvBlockLayout layout{width};
  const int64_t panels = padded_width(width) / kKvPanel;
  int64_t panel = 0;
  for (; panel + V::kPanels <= panels; panel += V::kPanels) {
    add_values<V, V::kPanels>(block, layout, panel, work, tile);
  }
  for (; panel < panels; ++panel) add_values<V, 1>(block, layout, panel, work, tile);
}

struct RowPlace {
  int64_t query, head;
};
RowPlace place_of(const BlockedAttentionArgs& args, int64_t kv_head, int64_t row) {
  const int64_t group = args.heads / args.kv_heads;
  return {row / group, kv_head * group + row % group};
}

// Queries quantised, sums zero; returns how many keys the tile sees in all.
template <typename V>
int64_t begin_tile(const BlockedAttentionArgs& args, int64_t kv_head, Tile& tile) {
  const bool causal = args.mask == AttentionArgs::Mask::causal;
  const int64_t width = args.kv.width;
  int64_t seen = 0;
  tile.visible_to_all = args.keys;
  for (int r = 0; r < kRows; ++r) {
    tile.largest[r] = kMasked;
    tile.visible[r] = args.keys;
    tile.q_scale[r] = 0;
    for (float& total : tile.totals[r]) total = 0;
    for (int64_t i = 0; i < padded_width(width); ++i) tile.sums[r][i] = 0;
    if (r >= tile.rows) {
      for (int64_t i = 0; i < padded_width(width); ++i) tile.q[r][i] = 0;
      continue;
    }
    const RowPlace at = place_of(args, kv_head, tile.first_row + r);
    const int64_t causal_end = args.first + at.query + 1;
    tile.visible[r] = causal && causal_end < args.keys ? causal_end : args.keys;
    seen = tile.visible[r] > seen ? tile.visible[r] : seen;
    tile.visible_to_all = tile.visible[r] < tile.visible_to_all ? tile.visible[r] : tile.visible_to_all;
    quantise_query<V>(args.q + at.query * args.q_stride + at.head * width, width, r, tile);
  }
  return seen;
}

template <typename V>
void end_tile(const BlockedAttentionArgs& args, int64_t kv_head, const Tile& tile) {
  const int64_t width = args.kv.width;
  for (int r = 0; r < tile.rows; ++r) {
    const RowPlace at = place_of(args, kv_head, tile.first_row + r);
    float* out = args.out + (at.query * args.heads + at.head) * width;
    const float total = V::sum_lanes(V::load(tile.totals[r]));
    for (int64_t i = 0; i < width; ++i) out[i] = tile.sums[r][i] / total;
  }
}

// Rows [begin, end), at most kTiles * kRows.
template <typename V>
void run_tiles(const BlockedAttentionArgs& args, int64_t kv_head, int64_t begin, int64_t end) {
  Tile tiles[kTiles];
  Work work;
  WideBlock wide;
  int64_t count = 0, seen = 0, tile_seen[kTiles];
  for (int64_t row = begin; row < end; row += kRows, ++count) {
    tiles[count].first_row = row;
    tiles[count].rows = end - row < kRows ? end - row : kRows;
    tile_seen[count] = begin_tile<V>(args, kv_head, tiles[count]);
    seen = tile_seen[count] > seen ? tile_seen[count] : seen;
  }
  for (int64_t first = 0; first < seen; first += kBlockKeys) {
    const std::byte* block = wide_block_avx2(
        args.kv, {.head = kv_head, .index = first / kBlockKeys, .last = (seen - 1) / kBlockKeys}, wide);
    read_value_scales<V>(block, args.kv.width, work.values);
    for (int64_t t = 0; t < count; ++t) {
      if (first < tile_seen[t]) add_block<V>(block, args.kv.width, first, tiles[t], work);
    }
  }
  for (int64_t t = 0; t < count; ++t) end_tile<V>(args, kv_head, tiles[t]);
}

template <typename V>
void run_share(const BlockedAttentionArgs& args, const BlockedShare& share) {
  constexpr int64_t rows = kTiles * kRows;
  for (int64_t row = share.begin; row < share.end; row += rows) {
    run_tiles<V>(args, share.kv_head, row, row + rows < share.end ? row + rows : share.end);
  }
}

}  // namespace
}  // namespace qvl
