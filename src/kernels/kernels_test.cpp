// Attention, norms, rotation and pointwise functions against their formulas in float64.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/activation/activation.h"
#include "kernels/attention/attention.h"
#include "kernels/norm/norm.h"
#include "kernels/rope/rope.h"

namespace qvl {
namespace {

std::vector<float> random_values(std::mt19937& random, int64_t count, float scale = 1) {
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& value : out) value = normal(random);
  return out;
}

// softmax(q k^T / sqrt(d)) v of one query and one head.
std::vector<double> naive_attention(const AttentionArgs& a, int64_t query, int64_t head) {
  const int64_t kv_head = head / (a.heads / a.kv_heads);
  const int64_t visible = a.mask == AttentionArgs::Mask::causal ? a.first + query + 1 : a.keys;
  std::vector<double> weights, out(static_cast<size_t>(a.head_dim), 0.0);
  double largest = -1e300, total = 0;
  for (int64_t key = 0; key < visible; ++key) {
    double score = 0;
    for (int64_t d = 0; d < a.head_dim; ++d) {
      score += static_cast<double>(a.q[query * a.q_stride + head * a.head_dim + d]) *
               a.k[key * a.kv_stride + kv_head * a.head_dim + d];
    }
    weights.push_back(score / std::sqrt(static_cast<double>(a.head_dim)));
    largest = std::max(largest, weights.back());
  }
  for (double& w : weights) total += w = std::exp(w - largest);
  for (int64_t key = 0; key < visible; ++key) {
    for (int64_t d = 0; d < a.head_dim; ++d) {
      out[static_cast<size_t>(d)] +=
          weights[static_cast<size_t>(key)] / total * a.v[key * a.kv_stride + kv_head * a.head_dim + d];
    }
  }
  return out;
}

TEST(Attention, equals_its_formula_on_random_shapes) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    const int64_t kv_heads = 1 + random() % 3, heads = kv_heads * (1 + random() % 3),
                  width = 4 + random() % 40;
    const int64_t queries = 1 + random() % 9, first = random() % 6;
    const bool causal = random() % 2 == 0;
    const int64_t keys = causal ? first + queries : 1 + random() % 20;
    const int64_t q_stride = heads * width + random() % 5, kv_stride = kv_heads * width + random() % 5;
    const float scale = random() % 4 == 0 ? 30.0f : 1.0f;  // large scores: the maximum must be subtracted
    const auto q = random_values(random, queries * q_stride, scale),
               k = random_values(random, keys * kv_stride, scale);
    const auto v = random_values(random, keys * kv_stride);
    std::vector<float> out(static_cast<size_t>(queries * heads * width)), scores(static_cast<size_t>(keys));
    const AttentionArgs args = {q.data(),
                                k.data(),
                                v.data(),
                                out.data(),
                                queries,
                                keys,
                                first,
                                heads,
                                kv_heads,
                                width,
                                q_stride,
                                kv_stride,
                                causal ? AttentionArgs::Mask::causal : AttentionArgs::Mask::none};
    for (int64_t head = 0; head < heads; ++head) {
      attention_scalar(args, {.head = head, .begin = 0, .end = queries}, scores.data());
    }
    for (int64_t query = 0; query < queries; ++query) {
      for (int64_t head = 0; head < heads; ++head) {
        const auto expected = naive_attention(args, query, head);
        for (int64_t d = 0; d < width; ++d) {
          ASSERT_NEAR(out[static_cast<size_t>((query * heads + head) * width + d)],
                      expected[static_cast<size_t>(d)], scale > 1 ? 2e-3 : 2e-5);
        }
      }
    }
  }
}

TEST(Norm, equals_its_formula) {
  std::mt19937 random(2);
  for (int64_t count : {1, 2, 31, 128, 1000}) {
    const auto x = random_values(random, count, 3), weight = random_values(random, count),
               bias = random_values(random, count);
    double squares = 0, mean = 0, variance = 0;
    for (float value : x)
      squares += static_cast<double>(value) * value, mean += value / static_cast<double>(count);
    for (float value : x) variance += (value - mean) * (value - mean) / static_cast<double>(count);
    std::vector<float> rms(x.size()), layer(x.size());
    rms_norm_scalar(x.data(), count, weight.data(), 1e-6, rms.data());
    layer_norm_scalar(x.data(), count, {weight.data(), bias.data(), 1e-6}, layer.data());
    for (size_t i = 0; i < x.size(); ++i) {
      EXPECT_NEAR(rms[i], weight[i] * x[i] / std::sqrt(squares / static_cast<double>(count) + 1e-6), 1e-5);
      EXPECT_NEAR(layer[i], weight[i] * (x[i] - mean) / std::sqrt(variance + 1e-6) + bias[i], 1e-5);
    }
  }
}

TEST(Norm, of_zeros_is_the_bias) {
  const std::vector<float> zeros(8, 0.0f), weight(8, 2.0f), bias(8, 0.5f);
  std::vector<float> y(8);
  layer_norm_scalar(zeros.data(), 8, {weight.data(), bias.data(), 1e-6}, y.data());
  EXPECT_EQ(y, bias);
  rms_norm_scalar(zeros.data(), 8, weight.data(), 1e-6, y.data());
  EXPECT_EQ(y, zeros);
}

TEST(Rope, pairs_the_halves_of_a_head) {
  float head[4] = {1, 2, 3, 4};
  const float cos[2] = {0, 1}, sin[2] = {1, 0};  // a quarter turn, and none
  rope_scalar(head, 2, cos, sin);
  EXPECT_FLOAT_EQ(head[0], -3);
  EXPECT_FLOAT_EQ(head[1], 2);
  EXPECT_FLOAT_EQ(head[2], 1);
  EXPECT_FLOAT_EQ(head[3], 4);
}

TEST(Activation, has_the_values_of_the_formulas) {
  float x[3] = {1.0f, -1.0f, 20.0f};
  gelu_tanh_scalar(x, 3);
  EXPECT_NEAR(x[0], 0.8411920, 1e-6);
  EXPECT_NEAR(x[1], -0.1588080, 1e-6);
  EXPECT_FLOAT_EQ(x[2], 20.0f);
  float y[3] = {1.0f, -1.0f, 20.0f};
  gelu_erf_scalar(y, 3);
  EXPECT_NEAR(y[0], 0.8413447, 1e-6);
  EXPECT_NEAR(y[1], -0.1586553, 1e-6);
  EXPECT_FLOAT_EQ(y[2], 20.0f);
  float gate[4] = {1.0f, -100.0f, 0.0f, 100.0f};
  const float up[4] = {2.0f, 1.0f, 1.0f, 0.5f};
  silu_multiply_scalar(gate, up, 4);
  EXPECT_NEAR(gate[0], 2 * 0.7310586, 1e-6);
  EXPECT_NEAR(gate[1], 0, 1e-6);
  EXPECT_EQ(gate[2], 0);
  EXPECT_FLOAT_EQ(gate[3], 50);
  add_scalar(gate, up, 2);
  EXPECT_NEAR(gate[0], 2 * 0.7310586 + 2, 1e-6);
}

}  // namespace
}  // namespace qvl
