// The reference of attention over blocks: two passes over the keys, nothing kept between them.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/attention/blocked_attention.h"

namespace qvl {
namespace {

template <typename Value>
Value load(const std::byte* at) {
  Value value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

struct Head {
  const KvBlocks& kv;
  int64_t head;

  float key(int64_t token, int64_t i) const {
    const KvBlockLayout layout = kv.layout();
    const std::byte* block = kv.block(head, token / kBlockKeys);
    const int64_t k = token % kBlockKeys;
    const int whole =
        integer(block + layout.key_panel(k / kKvPanel), (i / 2 * kKvPanel + k % kKvPanel) * 2 + i % 2);
    return load<float>(block + layout.key_scales() + k * 4) *
           static_cast<float>(whole * factor(block + layout.key_factors(), k, i));
  }
  float value(int64_t token, int64_t i) const {
    const KvBlockLayout layout = kv.layout();
    const std::byte* block = kv.block(head, token / kBlockKeys);
    const int64_t k = token % kBlockKeys;
    const int whole =
        integer(block + layout.value_panel(i / kKvPanel), (k / 2 * kKvPanel + i % kKvPanel) * 2 + k % 2);
    return load<float>(block + layout.value_scales() + k * 4) *
           static_cast<float>(whole * factor(block + layout.value_factors(), k, i));
  }
  float score(const float* q, int64_t token) const {
    float sum = 0;
    for (int64_t i = 0; i < kv.width; ++i) sum += q[i] * key(token, i);
    return sum / std::sqrt(static_cast<float>(kv.width));
  }

 private:
  int integer(const std::byte* panel, int64_t at) const {
    return kv.integer == KvInteger::i16 ? load<int16_t>(panel + 2 * at) : load<int8_t>(panel + at);
  }
  // factors: [groups][kBlockKeys]
  int factor(const std::byte* factors, int64_t k, int64_t i) const {
    return kv.integer == KvInteger::i16 ? 1 : load<uint8_t>(factors + i / kKvGroup * kBlockKeys + k);
  }
};

}  // namespace

void blocked_attention_scalar(const BlockedAttentionArgs& args, const BlockedShare& share) {
  const int64_t group = args.heads / args.kv_heads, width = args.kv.width;
  const Head head{args.kv, share.kv_head};
  for (int64_t r = share.begin; r < share.end; ++r) {
    const int64_t query = r / group, at = share.kv_head * group + r % group;
    const float* q = args.q + query * args.q_stride + at * width;
    float* out = args.out + (query * args.heads + at) * width;
    const int64_t visible =
        args.mask == AttentionArgs::Mask::causal ? std::min(args.keys, args.first + query + 1) : args.keys;
    float largest = head.score(q, 0);
    for (int64_t t = 1; t < visible; ++t) largest = std::max(largest, head.score(q, t));
    double total = 0;
    double sums[kMaxBlockedWidth] = {};
    for (int64_t t = 0; t < visible; ++t) {
      const double weight = std::exp(head.score(q, t) - largest);
      total += weight;
      for (int64_t i = 0; i < width; ++i) sums[i] += weight * head.value(t, i);
    }
    for (int64_t i = 0; i < width; ++i) out[i] = static_cast<float>(sums[i] / total);
  }
}

BlockedAttention blocked_attention(Isa isa) {
  static constexpr IsaRow<BlockedAttention> kList[] = {{Isa::scalar, blocked_attention_scalar},
                                                       {Isa::avx2, blocked_attention_avx2},
                                                       {Isa::avx512, blocked_attention_avx512}};
  return entry_for(kList, isa);
}

}  // namespace qvl
