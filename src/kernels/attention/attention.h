// Scaled dot-product attention over float32 rows.
#pragma once

#include <cstdint>

namespace qvl {

/// One attention call. Query row i is at sequence position `first + i` and, with Mask::causal, sees the keys
/// up to itself; otherwise all keys. Query head j reads key head j / (heads / kv_heads).
struct AttentionArgs {
  enum class Mask { none, causal };
  const float* q;  // [queries, heads, head_dim], rows q_stride apart
  const float* k;  // [keys, kv_heads, head_dim], rows kv_stride apart
  const float* v;  // as k
  float* out;      // [queries, heads, head_dim], dense
  int64_t queries, keys, first;
  int64_t heads, kv_heads, head_dim;
  int64_t q_stride, kv_stride;
  Mask mask;
};

/// Part of a call: query rows [begin, end) of one head.
struct AttentionShare {
  int64_t head, begin, end;
};

/// out = softmax(q k^T / sqrt(head_dim)) v for one share, the softmax with its maximum subtracted. `scores`
/// holds at least args.keys floats.
void attention_scalar(const AttentionArgs& args, const AttentionShare& share, float* scores);

}  // namespace qvl
