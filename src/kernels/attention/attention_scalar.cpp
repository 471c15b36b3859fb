// The reference attention. Sums run in eight lanes so that compilers vectorise them without changing the
// result.
#include <algorithm>
#include <cmath>

#include "kernels/attention/attention.h"

namespace qvl {
namespace {

constexpr int64_t lanes = 8;

float dot(const float* a, const float* b, int64_t count) {
  float sum[lanes] = {};
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    for (int64_t lane = 0; lane < lanes; ++lane) sum[lane] += a[i + lane] * b[i + lane];
  }
  for (; i < count; ++i) sum[i % lanes] += a[i] * b[i];
  return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

// Turns scores into weights that sum to one.
void softmax(float* scores, int64_t count) {
  const float largest = *std::max_element(scores, scores + count);
  double total = 0;
  for (int64_t i = 0; i < count; ++i) {
    scores[i] = std::exp(scores[i] - largest);
    total += scores[i];
  }
  const float scale = static_cast<float>(1.0 / total);
  for (int64_t i = 0; i < count; ++i) scores[i] *= scale;
}

}  // namespace

void attention_scalar(const AttentionArgs& args, const AttentionShare& share, float* scores) {
  const int64_t width = args.head_dim;
  const int64_t kv_offset = share.head / (args.heads / args.kv_heads) * width;
  const float scale = 1.0f / std::sqrt(static_cast<float>(width));
  for (int64_t i = share.begin; i < share.end; ++i) {
    const bool causal = args.mask == AttentionArgs::Mask::causal;
    const int64_t visible = causal ? std::min(args.keys, args.first + i + 1) : args.keys;
    const float* q = args.q + i * args.q_stride + share.head * width;
    for (int64_t key = 0; key < visible; ++key) {
      scores[key] = dot(q, args.key(key) + kv_offset, width) * scale;
    }
    softmax(scores, visible);
    float* out = args.out + (i * args.heads + share.head) * width;
    std::fill_n(out, width, 0.0f);
    for (int64_t key = 0; key < visible; ++key) {
      const float* v = args.value(key) + kv_offset;
      for (int64_t d = 0; d < width; ++d) out[d] += scores[key] * v[d];
    }
  }
}

}  // namespace qvl
