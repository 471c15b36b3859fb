// Attention, norms, rotation and pointwise functions against their formulas in float64.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/activation/activation.h"
#include "kernels/attention/attention.h"
#include "kernels/attention/blocked_attention.h"
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

// The integer attention over blocks: keys and values rounded to 13 bits, softmax weights to 12.
TEST(BlockedAttention, equals_its_formula_on_random_shapes) {
  std::mt19937 random(3);
  for (Isa isa : all_isas()) {
    if (!supported(isa)) continue;
    for (int round = 0; round < 150; ++round) {
      const int64_t kv_heads = 1 + random() % 3, heads = kv_heads * (1 + random() % 4);
      const int64_t widths[] = {2, 8, 30, 32, 64, 72, 128}, width = widths[random() % 7];
      const bool causal = random() % 2 == 0;
      const int64_t queries = 1 + random() % 9, first = random() % 150;
      const int64_t keys = causal ? first + queries : 1 + random() % 200;
      const int64_t stride = heads * width + random() % 5;
      const float scale = random() % 4 == 0 ? 6.0f : 1.0f;
      const auto q = random_values(random, queries * stride, scale);
      const auto k = random_values(random, keys * kv_heads * width, scale);
      const auto v = random_values(random, keys * kv_heads * width);
      const int64_t blocks = (keys + kBlockKeys - 1) / kBlockKeys, bytes = KvBlockLayout{width}.bytes();
      std::vector<std::byte> memory(static_cast<size_t>(kv_heads * blocks * bytes));
      const KvBlocks kv{memory.data(), blocks * bytes, width};
      for (int64_t t = 0; t < keys; ++t) {
        for (int64_t h = 0; h < kv_heads; ++h) {
          const int64_t at = (t * kv_heads + h) * width;
          write_kv_entry(kv, {.head = h, .token = t, .key = k.data() + at, .value = v.data() + at});
        }
      }
      std::vector<float> out(static_cast<size_t>(queries * heads * width), NAN);
      const auto mask = causal ? AttentionArgs::Mask::causal : AttentionArgs::Mask::none;
      const BlockedAttentionArgs args = {q.data(), kv,    out.data(), queries, keys,
                                         first,    heads, kv_heads,   stride,  mask};
      const int64_t rows = queries * (heads / kv_heads), half = rows / 2;
      for (int64_t h = 0; h < kv_heads; ++h) {
        blocked_attention(isa)(args, {.kv_head = h, .begin = 0, .end = half});
        blocked_attention(isa)(args, {.kv_head = h, .begin = half, .end = rows});
      }
      const AttentionArgs plain = {q.data(), k.data(), v.data(), nullptr, queries,          keys, first,
                                   heads,    kv_heads, width,    stride,  kv_heads * width, mask};
      for (int64_t query = 0; query < queries; ++query) {
        for (int64_t head = 0; head < heads; ++head) {
          const auto expected = naive_attention(plain, query, head);
          for (int64_t d = 0; d < width; ++d) {
            ASSERT_NEAR(out[static_cast<size_t>((query * heads + head) * width + d)],
                        expected[static_cast<size_t>(d)], scale > 1 ? 4e-2 : 2.5e-3)
                << name_of(isa) << " width " << width << " keys " << keys;
          }
        }
      }
    }
  }
}

// Heads that look at one key among many far away must not lose the many others where they matter: a block
// keeps its precision however far it lies below the largest score.
TEST(BlockedAttention, keeps_the_weight_of_many_small_scores) {
  const int64_t width = 64, keys = 4096, bytes = KvBlockLayout{width}.bytes();
  std::vector<std::byte> memory(static_cast<size_t>(keys / kBlockKeys * bytes));
  const KvBlocks kv{memory.data(), keys / kBlockKeys * bytes, width};
  std::vector<float> q(width, 1.0f), key(width), value(width), out(width);
  // Key 7 has score 8, all others 0: weights e^8 = 2981 and 4095 * 1.
  for (int64_t t = 0; t < keys; ++t) {
    std::fill(key.begin(), key.end(), t == 7 ? 1.0f : 0.0f);
    std::fill(value.begin(), value.end(), t == 7 ? 0.0f : 1.0f);
    write_kv_entry(kv, {.head = 0, .token = t, .key = key.data(), .value = value.data()});
  }
  for (Isa isa : all_isas()) {
    if (!supported(isa)) continue;
    blocked_attention(isa)({q.data(), kv, out.data(), 1, keys, 0, 1, 1, width, AttentionArgs::Mask::none},
                           {.kv_head = 0, .begin = 0, .end = 1});
    for (float found : out) EXPECT_NEAR(found, 4095 / (4095 + std::exp(8.0)), 1e-3) << name_of(isa);
  }
}

TEST(BlockedAttention, a_row_does_not_depend_on_the_rows_beside_it) {
  std::mt19937 random(4);
  const int64_t width = 32, keys = 150, bytes = KvBlockLayout{width}.bytes();
  const auto q = random_values(random, 10 * width), k = random_values(random, keys * width);
  std::vector<std::byte> memory(static_cast<size_t>(3 * bytes));
  const KvBlocks kv{memory.data(), 3 * bytes, width};
  for (int64_t t = 0; t < keys; ++t) {
    write_kv_entry(kv, {.head = 0, .token = t, .key = k.data() + t * width, .value = k.data() + t * width});
  }
  for (Isa isa : all_isas()) {
    if (!supported(isa)) continue;
    std::vector<float> together(10 * width), alone(10 * width);
    const BlockedAttentionArgs args = {
        q.data(), kv, together.data(), 10, keys, keys - 10, 1, 1, width, AttentionArgs::Mask::causal};
    blocked_attention(isa)(args, {.kv_head = 0, .begin = 0, .end = 10});
    BlockedAttentionArgs single = args;
    single.out = alone.data();
    for (int64_t r = 0; r < 10; ++r) blocked_attention(isa)(single, {.kv_head = 0, .begin = r, .end = r + 1});
    EXPECT_EQ(together, alone) << name_of(isa);
  }
}

// Causal rows before a key or value that is no number do not see it, all others are no numbers.
TEST(BlockedAttention, lets_what_is_not_a_number_through_where_it_is_seen) {
  std::mt19937 random(5);
  const int64_t width = 64, keys = 140, bad = 90, bytes = KvBlockLayout{width}.bytes();
  const std::vector<float> good = random_values(random, keys * width);
  for (const float poison : {NAN, INFINITY}) {
    std::vector<float> wrong = good;
    wrong[bad * width + 33] = poison;
    for (const std::vector<float>* k : {&good, static_cast<const std::vector<float>*>(&wrong)}) {
      const std::vector<float>* v = k == &good ? &wrong : &good;
      std::vector<std::byte> memory(static_cast<size_t>(3 * bytes));
      const KvBlocks kv{memory.data(), 3 * bytes, width};
      for (int64_t t = 0; t < keys; ++t) {
        const int64_t at = t * width;
        write_kv_entry(kv, {.head = 0, .token = t, .key = k->data() + at, .value = v->data() + at});
      }
      for (Isa isa : all_isas()) {
        if (!supported(isa)) continue;
        std::vector<float> out(good.size());
        blocked_attention(isa)(
            {good.data(), kv, out.data(), keys, keys, 0, 1, 1, width, AttentionArgs::Mask::causal},
            {.kv_head = 0, .begin = 0, .end = keys});
        for (size_t i = 0; i < out.size(); ++i) {
          ASSERT_EQ(std::isnan(out[i]), static_cast<int64_t>(i) >= bad * width) << name_of(isa);
        }
      }
    }
  }
}

TEST(Norm, equals_its_formula) {
  std::mt19937 random(2);
  for (Isa isa : all_isas()) {
    if (!supported(isa)) continue;
    for (int64_t count : {1, 2, 7, 8, 31, 128, 1000}) {
      const auto x = random_values(random, count, 3), weight = random_values(random, count),
                 bias = random_values(random, count);
      double squares = 0, mean = 0, variance = 0;
      for (float value : x)
        squares += static_cast<double>(value) * value, mean += value / static_cast<double>(count);
      for (float value : x) variance += (value - mean) * (value - mean) / static_cast<double>(count);
      std::vector<float> rms(x.size()), layer(x.size());
      norm_kernels(isa).rms_norm(x.data(), count, weight.data(), 1e-6, rms.data());
      norm_kernels(isa).layer_norm(x.data(), count, {weight.data(), bias.data(), 1e-6}, layer.data());
      for (size_t i = 0; i < x.size(); ++i) {
        EXPECT_NEAR(rms[i], weight[i] * x[i] / std::sqrt(squares / static_cast<double>(count) + 1e-6), 1e-5);
        EXPECT_NEAR(layer[i], weight[i] * (x[i] - mean) / std::sqrt(variance + 1e-6) + bias[i],
                    count == 1 ? 1e-3 : 1e-5);
      }
    }
  }
}

TEST(Norm, of_zeros_is_the_bias) {
  const std::vector<float> zeros(9, 0.0f), weight(9, 2.0f), bias(9, 0.5f);
  for (Isa isa : all_isas()) {
    if (!supported(isa)) continue;
    std::vector<float> y(9);
    norm_kernels(isa).layer_norm(zeros.data(), 9, {weight.data(), bias.data(), 1e-6}, y.data());
    EXPECT_EQ(y, bias);
    norm_kernels(isa).rms_norm(zeros.data(), 9, weight.data(), 1e-6, y.data());
    EXPECT_EQ(y, zeros);
  }
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
  std::vector<float> x;
  for (float value = -30; value <= 30; value += 0.0625f) x.push_back(value);
  x.push_back(1e30f);
  x.push_back(-1e30f);
  x.push_back(-0.0f);
  const std::vector<float> up(x.size(), 2.0f);
  const auto count = std::ssize(x);
  for (Isa isa : all_isas()) {
    if (!supported(isa)) continue;
    const ActivationKernels& functions = activation_kernels(isa);
    std::vector<float> tanh = x, erf = x, silu = x, sum = x, product = x;
    functions.gelu_tanh(tanh.data(), count);
    functions.gelu_erf(erf.data(), count);
    functions.silu_multiply(silu.data(), up.data(), count);
    functions.add(sum.data(), up.data(), count);
    functions.multiply(x.data(), up.data(), count, product.data());
    for (size_t i = 0; i < x.size(); ++i) {
      const double z = x[i], near = 1e-6 * (1 + std::abs(z));
      const double cube = std::min(std::abs(z), 1e6);  // the cube of 1e30 overflows float32, not its tanh
      const double inner = std::copysign(cube + 0.044715 * cube * cube * cube, z);
      ASSERT_NEAR(tanh[i], 0.5 * z * (1 + std::tanh(std::sqrt(2 / M_PI) * inner)), near) << name_of(isa) << z;
      ASSERT_NEAR(erf[i], 0.5 * z * (1 + std::erf(z / std::sqrt(2))), near) << name_of(isa) << z;
      ASSERT_NEAR(silu[i], 2 * z / (1 + std::exp(-z)), 2 * near) << name_of(isa) << z;
      ASSERT_EQ(sum[i], x[i] + 2.0f);
      ASSERT_EQ(product[i], x[i] * 2.0f);
    }
  }
}

TEST(Activation, lets_what_is_not_a_number_through_and_ignores_the_place_of_a_value) {
  for (Isa isa : all_isas()) {
    if (!supported(isa)) continue;
    const ActivationKernels& functions = activation_kernels(isa);
    for (auto function : {functions.gelu_tanh, functions.gelu_erf}) {
      std::vector<float> one = {0.7f}, many(21, 0.7f);
      many[3] = NAN;
      function(one.data(), 1);
      function(many.data(), 21);
      for (size_t i = 0; i < many.size(); ++i) {
        if (i == 3) {
          EXPECT_TRUE(std::isnan(many[i]));
        } else {
          EXPECT_EQ(many[i], one[0]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace qvl
