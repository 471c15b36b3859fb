// Scaled dot-product attention over blocks of keys and values in 16 or 8 bits.
#pragma once

#include <cstdint>

#include "kernels/attention/attention.h"
#include "kernels/attention/kv_block.h"
#include "kernels/isa.h"

namespace qvl {

/// A call like AttentionArgs, with keys and values in blocks. width even, at most kMaxBlockedWidth.
struct BlockedAttentionArgs {
  const float* q;  // [queries, heads, width], rows q_stride apart
  KvBlocks kv;     // keys and values of all tokens up to `keys`
  float* out;      // [queries, heads, width], dense
  int64_t queries, keys, first;
  int64_t heads, kv_heads;
  int64_t q_stride;
  AttentionArgs::Mask mask;
};

/// Part of a call: rows [begin, end) of those that share one key head. Row r is query r / group, head
/// kv_head * group + r % group, where group = heads / kv_heads.
struct BlockedShare {
  int64_t kv_head, begin, end;
};

/// A row's result depends on the row and its visible keys alone.
using BlockedAttention = void (*)(const BlockedAttentionArgs& args, const BlockedShare& share);

/// Keys and values exact, everything else in float32: the reference.
void blocked_attention_scalar(const BlockedAttentionArgs& args, const BlockedShare& share);
/// Queries and softmax weights as integers too: weights keep 13 bits below the largest of each block. Blocks
/// of 8 bits are widened to 16 once for every 32 rows.
void blocked_attention_avx2(const BlockedAttentionArgs& args, const BlockedShare& share);
void blocked_attention_avx512(const BlockedAttentionArgs& args, const BlockedShare& share);

BlockedAttention blocked_attention(Isa isa);

}  // namespace qvl
