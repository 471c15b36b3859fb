// Scaled dot-product attention over float32 rows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention/kv_block.h"

namespace qvl {

/// Rows of keys and values of kBlockKeys tokens in each page, one after another. Borrowed.
struct RowPages {
  const std::byte* const* pages = nullptr;
  int64_t keys = 0, values = 0;  // floats from the start of a page to their first row

  const float* row(int64_t first, int64_t key, int64_t stride) const {
    return static_cast<const float*>(static_cast<const void*>(pages[key / kBlockKeys])) + first +
           key % kBlockKeys * stride;
  }
};

/// One attention call. Query row i is at sequence position `first + i` and, with Mask::causal, sees the keys
/// up to itself; otherwise all keys. Query head j reads key head j / (heads / kv_heads).
struct AttentionArgs {
  enum class Mask { none, causal };
  const float* q;  // [queries, heads, head_dim], rows q_stride apart
  const float* k;  // [keys, kv_heads, head_dim], rows kv_stride apart; of no meaning where there are pages
  const float* v;  // as k
  float* out;      // [queries, heads, head_dim], dense
  int64_t queries, keys, first;
  int64_t heads, kv_heads, head_dim;
  int64_t q_stride, kv_stride;
  Mask mask;
  RowPages paged = {};  // without pages: all rows are at k and v

  const float* key(int64_t index) const {
    return paged.pages == nullptr ? k + index * kv_stride : paged.row(paged.keys, index, kv_stride);
  }
  const float* value(int64_t index) const {
    return paged.pages == nullptr ? v + index * kv_stride : paged.row(paged.values, index, kv_stride);
  }
};

/// Part of a call: query rows [begin, end) of one head.
struct AttentionShare {
  int64_t head, begin, end;
};

/// out = softmax(q k^T / sqrt(head_dim)) v for one share, the softmax with its maximum subtracted. `scores`
/// holds at least args.keys floats.
void attention_scalar(const AttentionArgs& args, const AttentionShare& share, float* scores);

}  // namespace qvl
