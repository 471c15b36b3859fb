// Attention, norms, rotation and pointwise functions against their formulas in float64.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/activation/activation.h"
#include "kernels/attention/attention.h"
#include "kernels/attention/blocked_attention.h"
#include "kernels/attention/kv_testing.h"
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

// One call over blocks; every head, its rows in two shares.
std::vector<float> run_blocked(Isa isa, const std::vector<float>& q, BlockedAttentionArgs args) {
  std::vector<float> out(static_cast<size_t>(args.queries * args.heads * args.kv.width), NAN);
  args.q = q.data();
  args.out = out.data();
  const int64_t rows = args.queries * (args.heads / args.kv_heads), half = rows / 2;
  for (int64_t h = 0; h < args.kv_heads; ++h) {
    blocked_attention(isa)(args, {.kv_head = h, .begin = 0, .end = half});
    blocked_attention(isa)(args, {.kv_head = h, .begin = half, .end = rows});
  }
  return out;
}

class BlockedAttentionIn : public testing::TestWithParam<KvInteger> {};
INSTANTIATE_TEST_SUITE_P(, BlockedAttentionIn, testing::Values(KvInteger::i16, KvInteger::i8),
                         [](const auto& kind) { return kind.param == KvInteger::i16 ? "words" : "bytes"; });

// Against the formula with the numbers that the blocks hold: queries and softmax weights are rounded to 13
// bits.
TEST_P(BlockedAttentionIn, equals_its_formula_on_random_shapes) {
  std::mt19937 random(3);
  for (int round = 0; round < 150; ++round) {
    const int64_t kv_heads = 1 + random() % 3, heads = kv_heads * (1 + random() % 4);
    const int64_t widths[] = {2, 8, 30, 32, 64, 72, 128}, width = widths[random() % 7];
    const bool causal = random() % 2 == 0;
    const int64_t queries = 1 + random() % 9, first = random() % 150;
    const int64_t keys = causal ? first + queries : 1 + random() % 200;
    const int64_t stride = heads * width + random() % 5;
    const float scale = random() % 4 == 0 ? 6.0f : 1.0f;
    const auto q = random_values(random, queries * stride, scale);
    auto k = random_values(random, keys * kv_heads * width, scale);
    auto v = random_values(random, keys * kv_heads * width);
    OwnedKv blocks({.integer = GetParam(), .width = width, .tokens = keys, .heads = kv_heads}, k, v);
    for (int64_t t = 0; t < keys; ++t) {
      for (int64_t h = 0; h < kv_heads; ++h) {
        const StoredEntry stored = stored_entry(blocks.view(), h, t);
        std::copy(stored.key.begin(), stored.key.end(), k.begin() + (t * kv_heads + h) * width);
        std::copy(stored.value.begin(), stored.value.end(), v.begin() + (t * kv_heads + h) * width);
      }
    }
    const auto mask = causal ? AttentionArgs::Mask::causal : AttentionArgs::Mask::none;
    const AttentionArgs plain = {q.data(), k.data(), v.data(), nullptr, queries,          keys, first,
                                 heads,    kv_heads, width,    stride,  kv_heads * width, mask};
    for (Isa isa : all_isas()) {
      if (!supported(isa)) continue;
      const auto out = run_blocked(
          isa, q, {nullptr, blocks.view(), nullptr, queries, keys, first, heads, kv_heads, stride, mask});
      for (int64_t row = 0; row < queries * heads; ++row) {
        const auto expected = naive_attention(plain, row / heads, row % heads);
        for (int64_t d = 0; d < width; ++d) {
          ASSERT_NEAR(out[static_cast<size_t>(row * width + d)], expected[static_cast<size_t>(d)],
                      scale > 1 ? 4e-2 : 2.5e-3)
              << name_of(isa) << " width " << width << " keys " << keys;
        }
      }
    }
  }
}

// Heads that look at one key among many far away must not lose the many others where they matter: a block
// keeps its precision however far it lies below the largest score.
TEST_P(BlockedAttentionIn, keeps_the_weight_of_many_small_scores) {
  const int64_t width = 64, keys = 4096;
  // Key 7 has score 8, all others 0: weights e^8 = 2981 and 4095 * 1.
  std::vector<float> k(keys * width, 0.0f), v(keys * width, 1.0f);
  std::fill_n(k.begin() + 7 * width, width, 1.0f);
  std::fill_n(v.begin() + 7 * width, width, 0.0f);
  OwnedKv blocks({.integer = GetParam(), .width = width, .tokens = keys}, k, v);
  for (Isa isa : all_isas()) {
    if (!supported(isa)) continue;
    const auto out =
        run_blocked(isa, std::vector<float>(width, 1.0f),
                    {nullptr, blocks.view(), nullptr, 1, keys, 0, 1, 1, width, AttentionArgs::Mask::none});
    // In 8 bits all values are rounded alike, by up to half a step of a 120th.
    const double bound = GetParam() == KvInteger::i16 ? 2e-4 : 2.5e-3;
    for (float found : out) EXPECT_NEAR(found, 4095 / (4095 + std::exp(8.0)), bound) << name_of(isa);
  }
}

TEST_P(BlockedAttentionIn, a_row_does_not_depend_on_the_rows_beside_it) {
  std::mt19937 random(4);
  const int64_t width = 32, keys = 150;
  const auto q = random_values(random, 10 * width), k = random_values(random, keys * width);
  OwnedKv blocks({.integer = GetParam(), .width = width, .tokens = keys}, k, k);
  for (Isa isa : all_isas()) {
    if (!supported(isa)) continue;
    std::vector<float> together(10 * width), alone(10 * width);
    const BlockedAttentionArgs args = {q.data(),
                                       blocks.view(),
                                       together.data(),
                                       10,
                                       keys,
                                       keys - 10,
                                       1,
                                       1,
                                       width,
                                       AttentionArgs::Mask::causal};
    blocked_attention(isa)(args, {.kv_head = 0, .begin = 0, .end = 10});
    BlockedAttentionArgs single = args;
    single.out = alone.data();
    for (int64_t r = 0; r < 10; ++r) blocked_attention(isa)(single, {.kv_head = 0, .begin = r, .end = r + 1});
    EXPECT_EQ(together, alone) << name_of(isa);
  }
}

// Blocks behind the last key of a row change nothing, to the bit: rows of a prompt may be computed together
// with later ones or not.
TEST_P(BlockedAttentionIn, a_row_does_not_depend_on_blocks_it_does_not_see) {
  std::mt19937 random(7);
  const int64_t width = 64, keys = 70, first = 60;
  const auto q = random_values(random, 10 * width), k = random_values(random, keys * width);
  OwnedKv blocks({.integer = GetParam(), .width = width, .tokens = keys}, k, k);
  for (Isa isa : all_isas()) {
    if (!supported(isa)) continue;
    std::vector<float> one_block(10 * width), two_blocks(10 * width);
    BlockedAttentionArgs args = {q.data(), blocks.view(), one_block.data(),           10, keys, first, 1,
                                 1,        width,         AttentionArgs::Mask::causal};
    blocked_attention(isa)(args, {.kv_head = 0, .begin = 0, .end = 4});  // sees 61 to 64 keys: one block
    args.out = two_blocks.data();
    blocked_attention(isa)(args, {.kv_head = 0, .begin = 2, .end = 6});  // 63 to 66 keys: two blocks
    for (int64_t i = 2 * width; i < 4 * width; ++i) EXPECT_EQ(two_blocks[i], one_block[i]) << name_of(isa);
  }
}

// Values far apart in size: a key that is looked at most, with values of almost nothing, leaves the others
// their precision.
TEST_P(BlockedAttentionIn, keeps_the_weights_beside_a_key_with_tiny_values) {
  const int64_t width = 64, keys = 64;
  std::vector<float> k(keys * width, 0.0f), v(keys * width, 1.0f);
  std::fill_n(k.begin(), width, 1.0f);  // score 8
  for (float tiny : {1e-2f, 1e-6f, 1e-30f, 0.0f}) {
    std::fill_n(v.begin(), width, tiny);
    OwnedKv blocks({.integer = GetParam(), .width = width, .tokens = keys}, k, v);
    for (Isa isa : all_isas()) {
      if (!supported(isa)) continue;
      const auto out =
          run_blocked(isa, std::vector<float>(width, 1.0f),
                      {nullptr, blocks.view(), nullptr, 1, keys, 0, 1, 1, width, AttentionArgs::Mask::none});
      const double expected = (63 + std::exp(8.0) * tiny) / (63 + std::exp(8.0));
      for (float found : out) EXPECT_NEAR(found, expected, expected * 5e-3) << name_of(isa) << " " << tiny;
    }
  }
}

TEST_P(BlockedAttentionIn, of_zeros_is_the_mean_of_the_values) {
  const int64_t width = 72, keys = 70;
  const std::vector<float> zeros(keys * width, 0.0f);
  std::vector<float> v(keys * width);
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(i / width % 2);  // a token's all 0 or all 1
  for (Isa isa : all_isas()) {
    if (!supported(isa)) continue;
    const BlockedAttentionArgs args = {nullptr, {}, nullptr, 1,     keys,
                                       0,       1,  1,       width, AttentionArgs::Mask::none};
    OwnedKv half({.integer = GetParam(), .width = width, .tokens = keys}, zeros, v);
    BlockedAttentionArgs of_half = args, of_zeros = args;
    of_half.kv = half.view();
    const float bound = GetParam() == KvInteger::i16 ? 1e-4f : 2.1e-3f;  // half a step of a 120th, halved
    for (float found : run_blocked(isa, zeros, of_half)) EXPECT_NEAR(found, 0.5f, bound) << name_of(isa);
    OwnedKv nothing({.integer = GetParam(), .width = width, .tokens = keys}, zeros, zeros);
    of_zeros.kv = nothing.view();
    for (float found : run_blocked(isa, zeros, of_zeros)) EXPECT_EQ(found, 0.0f) << name_of(isa);
  }
}

// Causal rows before a key or value that is no number do not see it, all others are no numbers.
TEST_P(BlockedAttentionIn, lets_what_is_not_a_number_through_where_it_is_seen) {
  std::mt19937 random(5);
  const int64_t width = 64, keys = 140, bad = 90;
  const auto q = random_values(random, keys * width), good = random_values(random, keys * width);
  for (const float poison : {NAN, INFINITY, -INFINITY}) {
    auto wrong = good;
    wrong[bad * width + 33] = poison;
    for (Isa isa : all_isas()) {
      if (!supported(isa)) continue;
      BlockedAttentionArgs args = {nullptr, {}, nullptr, keys,  keys,
                                   0,       1,  1,       width, AttentionArgs::Mask::causal};
      const KvShape shape = {.integer = GetParam(), .width = width, .tokens = keys};
      OwnedKv clean(shape, good, good), key(shape, wrong, good), value(shape, good, wrong);
      args.kv = clean.view();
      const auto expected = run_blocked(isa, q, args);
      for (OwnedKv* blocks : {&key, &value}) {
        args.kv = blocks->view();
        const auto found = run_blocked(isa, q, args);
        for (size_t i = 0; i < found.size(); ++i) {
          if (static_cast<int64_t>(i) < bad * width) {
            ASSERT_EQ(found[i], expected[i]) << name_of(isa) << " row " << i / width;
          } else {
            ASSERT_TRUE(std::isnan(found[i])) << name_of(isa) << " row " << i / width << ", "
                                              << (blocks == &key ? "key " : "value ") << poison;
          }
        }
      }
    }
  }
}

// The mean of 1 - cosine over 64 rows that see all keys, from the formula.
double mean_distance(Isa isa, const std::vector<float>& q, const std::vector<float>& k,
                     const std::vector<float>& v) {
  const int64_t width = 128, queries = std::ssize(q) / width, keys = std::ssize(k) / width;
  OwnedKv blocks({.integer = KvInteger::i8, .width = width, .tokens = keys}, k, v);
  const auto none = AttentionArgs::Mask::none;
  const auto found =
      run_blocked(isa, q, {nullptr, blocks.view(), nullptr, queries, keys, 0, 1, 1, width, none});
  const AttentionArgs plain = {q.data(), k.data(), v.data(), nullptr, queries, keys, 0,
                               1,        1,        width,    width,   width,   none};
  double sum = 0;
  for (int64_t row = 0; row < queries; ++row) {
    const auto expected = naive_attention(plain, row, 0);
    double ab = 0, aa = 0, bb = 0;
    for (int64_t d = 0; d < width; ++d) {
      const double a = expected[static_cast<size_t>(d)], b = found[static_cast<size_t>(row * width + d)];
      ab += a * b, aa += a * a, bb += b * b;
    }
    sum += 1 - ab / std::sqrt(aa * bb);
  }
  return sum / static_cast<double>(queries);
}

// Simulated with float64 sums: 3e-5 for normal numbers. One channel of all keys thirty times as large as the
// others: 6e-4, and 2e-3 where a key has a single scale.
TEST(BlockedAttention, in_8_bits_stays_close_to_the_formula) {
  std::mt19937 random(6);
  const int64_t width = 128, keys = 512;
  const auto q = random_values(random, 64 * width), v = random_values(random, keys * width);
  auto k = random_values(random, keys * width);
  for (Isa isa : all_isas()) {
    if (!supported(isa)) continue;
    EXPECT_LT(mean_distance(isa, q, k, v), 5e-5) << name_of(isa);
  }
  for (int64_t t = 0; t < keys; ++t) k[t * width + 50] = 30 + 3 * k[t * width + 50];
  for (Isa isa : all_isas()) {
    if (!supported(isa)) continue;
    EXPECT_LT(mean_distance(isa, q, k, v), 1e-3) << name_of(isa);
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
