// Attention over blocks with AVX2: tiles of four rows, one block of 64 keys after another, with a running
// softmax (Milakov and Gimelshein 2018; Dao et al. 2022). A block stays in the first cache while eight tiles
// pass.
//
// Both products multiply 16-bit integers and add pairs into 32 bits (VPMADDWD): twice the rate of float32.
// The softmax weights of a block are scaled by that block's own largest one, so that a block far below the
// running maximum keeps its precision; each value's scale is folded into its weight.
#include <cmath>

#include "kernels/attention/blocked_attention.h"
#include "kernels/attention/pair_products_avx2.h"
#include "kernels/avx2_math.h"

namespace qvl {
namespace {

constexpr int64_t kRows = avx2::kPairRows;
constexpr int64_t kTiles = 8;
constexpr float kMasked = -1e30f;          // finite, so that differences of two masked scores are
constexpr float kLargestWeight = 8191.0f;  // 64 of them times the largest value fit 32 bits

const float* floats(const std::byte* at) { return static_cast<const float*>(static_cast<const void*>(at)); }

// Rows of one tile on their way over the blocks.
struct Tile {
  alignas(32) int16_t q[kRows][kMaxBlockedWidth];
  alignas(32) float sums[kRows][kMaxBlockedWidth];
  float q_scale[kRows];  // with 1 / sqrt(width)
  float largest[kRows], total[kRows];
  int64_t visible[kRows], visible_to_all;
  int64_t first_row, rows;
};

// What becomes of one tile and one block, before it is added to the sums.
struct Work {
  alignas(32) float scores[kRows][kBlockKeys];
  alignas(32) int16_t weights[kRows][kMaxBlockedWidth];  // kBlockKeys used
  float largest[kRows], total[kRows], weight_scale[kRows];
};

void quantise_query(const float* q, int64_t width, int r, Tile& tile) {
  __m256 largest = _mm256_setzero_ps(), poison = largest;
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
  for (int64_t i = 0; i < width; i += 8) {
    const __m256 v = _mm256_maskload_ps(q + i, avx2::lanes_below(width - i));
    largest = _mm256_max_ps(largest, _mm256_and_ps(v, magnitude));
    poison = _mm256_or_ps(poison, _mm256_sub_ps(v, v));
  }
  const float scale = avx2::largest_lane(largest) / kLargestKvInteger;
  const bool finite = _mm256_movemask_ps(_mm256_cmp_ps(poison, poison, _CMP_UNORD_Q)) == 0;
  const __m256 inverse = _mm256_set1_ps(finite && scale > 1e-36f ? 1 / scale : 0.0f);
  for (int64_t i = 0; i < width; i += 8) {
    const __m256 v = _mm256_maskload_ps(q + i, avx2::lanes_below(width - i));
    const __m256i whole = _mm256_cvtps_epi32(_mm256_mul_ps(finite ? v : _mm256_setzero_ps(), inverse));
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storeu_si128(static_cast<__m128i*>(static_cast<void*>(tile.q[r] + i)), words);
  }
  tile.q_scale[r] = finite ? scale / std::sqrt(static_cast<float>(width)) : __builtin_nanf("");
}

// Keys of a block that rows see: in most blocks all.
enum class Seen { all, some };

// Scores of one block, and the largest of each row.
template <int R, Seen S>
void score_block(const std::byte* block, int64_t width, int64_t first_key, const Tile& tile, Work& work) {
  const KvBlockLayout layout{width};
  __m256 largest[R];
  for (int r = 0; r < R; ++r) largest[r] = _mm256_set1_ps(kMasked);
  for (int64_t panel = 0; panel < kBlockKeys / kKvPanel; ++panel) {
    avx2::PairSums sums;
    avx2::pair_products<R>(tile.q[0], block + layout.key_panel(panel), width / 2, sums);
    for (int half = 0; half < 2; ++half) {
      const int64_t key = panel * kKvPanel + half * 8;
      const __m256 scale = _mm256_loadu_ps(floats(block + layout.key_scales()) + key);
      for (int r = 0; r < R; ++r) {
        const __m256 by = _mm256_mul_ps(scale, _mm256_set1_ps(tile.q_scale[r]));
        __m256 score = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[2 * r + half]), by);
        if constexpr (S == Seen::some) {
          const int64_t left = tile.visible[r] - first_key - key;
          const __m256 seen = _mm256_castsi256_ps(avx2::lanes_below(left > 0 ? left : 0));
          score = _mm256_blendv_ps(_mm256_set1_ps(kMasked), score, seen);
        }
        largest[r] = _mm256_max_ps(score, largest[r]);
        _mm256_store_ps(work.scores[r] + key, score);
      }
    }
  }
  for (int r = 0; r < R; ++r) work.largest[r] = avx2::largest_lane(largest[r]);
}

// Scores of one row to integer weights: exp(score - the block's largest) * value scale / weight_scale. What
// is masked has no weight.
template <Seen S>
void weigh_row(const float* value_scales, int r, Work& work) {
  constexpr int kParts = kBlockKeys / 8;
  const __m256 top = _mm256_set1_ps(work.largest[r]), masked = _mm256_set1_ps(kMasked);
  __m256 total = _mm256_setzero_ps(), largest = total, scaled[kParts];
  for (int i = 0; i < kParts; ++i) {
    const __m256 score = _mm256_load_ps(work.scores[r] + i * 8);
    __m256 weight = avx2::exp_for_weights(_mm256_sub_ps(score, top));
    __m256 value_scale = _mm256_loadu_ps(value_scales + i * 8);
    if constexpr (S == Seen::some) {
      const __m256 seen = _mm256_cmp_ps(score, masked, _CMP_NEQ_UQ);
      weight = _mm256_and_ps(weight, seen);
      value_scale = _mm256_and_ps(value_scale, seen);
    }
    total = _mm256_add_ps(total, weight);
    scaled[i] = _mm256_mul_ps(weight, value_scale);
    largest = _mm256_max_ps(scaled[i], largest);
  }
  work.total[r] = avx2::sum_lanes(total);
  const float scale = avx2::largest_lane(largest) / kLargestWeight;
  const __m256 inverse = _mm256_set1_ps(scale > 1e-36f ? 1 / scale : 0.0f);
  work.weight_scale[r] = scale;
  for (int i = 0; i < kParts; i += 2) {
    const __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(scaled[i], inverse));
    const __m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(scaled[i + 1], inverse));
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8);
    _mm256_storeu_si256(static_cast<__m256i*>(static_cast<void*>(work.weights[r] + i * 8)), words);
  }
}

// How much the sums so far (lanes 0 to 3) and this block (lanes 4 to 7) count from here on.
struct Rescale {
  alignas(32) float factor[2 * kRows];
};

Rescale join_maxima(const Work& work, Tile& tile) {
  Rescale out;
  for (int r = 0; r < kRows; ++r) {
    const float before = tile.largest[r], block = work.largest[r];
    // Written so that a block of NaN makes the row NaN.
    const float now = before > block ? before : block;
    out.factor[r] = before - now;
    out.factor[kRows + r] = block - now;
    tile.largest[r] = now;
  }
  _mm256_store_ps(out.factor, avx2::exp(_mm256_load_ps(out.factor)));
  return out;
}

template <int R>
void add_values(const std::byte* block, int64_t width, const Rescale& rescale, const Work& work, Tile& tile) {
  const KvBlockLayout layout{width};
  for (int64_t panel = 0; panel < padded_width(width) / kKvPanel; ++panel) {
    avx2::PairSums sums;
    avx2::pair_products<R>(work.weights[0], block + layout.value_panel(panel), kBlockKeys / 2, sums);
    for (int half = 0; half < 2; ++half) {
      for (int r = 0; r < R; ++r) {
        float* at = tile.sums[r] + panel * kKvPanel + half * 8;
        const __m256 block_scale = _mm256_set1_ps(rescale.factor[kRows + r] * work.weight_scale[r]);
        const __m256 kept = _mm256_mul_ps(_mm256_load_ps(at), _mm256_set1_ps(rescale.factor[r]));
        _mm256_store_ps(at, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[2 * r + half]), block_scale, kept));
      }
    }
  }
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
  int64_t seen = 0;
  tile.visible_to_all = args.keys;
  for (int r = 0; r < kRows; ++r) {
    tile.largest[r] = kMasked;
    tile.total[r] = 0;
  }
  for (int r = 0; r < tile.rows; ++r) {
    const RowPlace at = place_of(args, kv_head, tile.first_row + r);
    const int64_t causal_end = args.first + at.query + 1;
    tile.visible[r] = causal && causal_end < args.keys ? causal_end : args.keys;
    seen = tile.visible[r] > seen ? tile.visible[r] : seen;
    tile.visible_to_all = tile.visible[r] < tile.visible_to_all ? tile.visible[r] : tile.visible_to_all;
    quantise_query(args.q + at.query * args.q_stride + at.head * args.kv.width, args.kv.width, r, tile);
    for (int64_t i = 0; i < padded_width(args.kv.width); ++i) tile.sums[r][i] = 0;
  }
  return seen;
}

template <int R, Seen S>
void weigh_block(const std::byte* block, int64_t width, int64_t first_key, const Tile& tile, Work& work) {
  score_block<R, S>(block, width, first_key, tile, work);
  for (int r = 0; r < R; ++r) weigh_row<S>(floats(block + KvBlockLayout{width}.value_scales()), r, work);
}

template <int R>
void add_block(const std::byte* block, int64_t width, int64_t first_key, Tile& tile, Work& work) {
  if (first_key + kBlockKeys <= tile.visible_to_all) {
    weigh_block<R, Seen::all>(block, width, first_key, tile, work);
  } else {
    weigh_block<R, Seen::some>(block, width, first_key, tile, work);
  }
  const Rescale rescale = join_maxima(work, tile);
  for (int r = 0; r < R; ++r) {
    tile.total[r] = tile.total[r] * rescale.factor[r] + work.total[r] * rescale.factor[kRows + r];
  }
  add_values<R>(block, width, rescale, work, tile);
}

void end_tile(const BlockedAttentionArgs& args, int64_t kv_head, const Tile& tile) {
  const int64_t width = args.kv.width;
  for (int r = 0; r < tile.rows; ++r) {
    const RowPlace at = place_of(args, kv_head, tile.first_row + r);
    float* out = args.out + (at.query * args.heads + at.head) * width;
    for (int64_t i = 0; i < width; ++i) out[i] = tile.sums[r][i] / tile.total[r];
  }
}

using AddBlock = void (*)(const std::byte*, int64_t, int64_t, Tile&, Work&);
constexpr AddBlock kAddBlock[kRows + 1] = {nullptr, add_block<1>, add_block<2>, add_block<3>, add_block<4>};

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
  // Rows that a short tile lacks take part in maxima only.
  for (int r = 0; r < kRows; ++r) work.largest[r] = kMasked;
  for (int64_t first = 0; first < seen; first += kBlockKeys) {
    const std::byte* block = args.kv.block(kv_head, first / kBlockKeys);
    for (int64_t t = 0; t < count; ++t) {
      if (first < tile_seen[t]) kAddBlock[tiles[t].rows](block, args.kv.width, first, tiles[t], work);
    }
  }
  for (int64_t t = 0; t < count; ++t) end_tile(args, kv_head, tiles[t]);
}

}  // namespace

void blocked_attention_avx2(const BlockedAttentionArgs& args, const BlockedShare& share) {
  constexpr int64_t rows = kTiles * kRows;
  for (int64_t row = share.begin; row < share.end; row += rows) {
    run_tiles(args, share.kv_head, row, row + rows < share.end ? row + rows : share.end);
  }
}

}  // namespace qvl
