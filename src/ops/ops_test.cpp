// Operations give the same bits for any number of threads and any number of rows together.
#include "ops/ops.h"

#include <gtest/gtest.h>

#include <random>

#include "ops/pack.h"

namespace qvl {
namespace {

std::vector<float> random_values(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(static_cast<size_t>(count));
  for (float& value : out) value = normal(random);
  return out;
}

std::vector<float> linear_with(int threads, int64_t rows) {
  const auto weight = random_values(100 * 64, 1), x = random_values(9 * 64, 2), bias = random_values(100, 3);
  const PackedWeight packed =
      pack({.dtype = DType::f32, .shape = {100, 64}, .bytes = std::as_bytes(std::span(weight))});
  std::vector<float> y(static_cast<size_t>(rows * 100));
  ThreadPool pool(threads);
  Ops(pool).linear({.x = x.data(), .rows = rows, .weight = &packed, .bias = bias, .y = y.data()});
  return y;
}

TEST(Ops, linear_does_not_depend_on_threads_or_on_other_rows) {
  const auto one = linear_with(1, 9);
  EXPECT_EQ(one, linear_with(3, 9));
  auto few = linear_with(2, 4);
  EXPECT_TRUE(std::equal(few.begin(), few.end(), one.begin()));
}

std::vector<float> attention_with(int threads) {
  const auto q = random_values(70 * 4 * 16, 1), k = random_values(70 * 2 * 16, 2),
             v = random_values(70 * 2 * 16, 3);
  std::vector<float> out(70 * 4 * 16);
  ThreadPool pool(threads);
  Ops(pool).attention({.q = q.data(),
                       .k = k.data(),
                       .v = v.data(),
                       .out = out.data(),
                       .queries = 70,
                       .keys = 70,
                       .first = 0,
                       .heads = 4,
                       .kv_heads = 2,
                       .head_dim = 16,
                       .q_stride = 64,
                       .kv_stride = 32,
                       .mask = AttentionArgs::Mask::causal});
  return out;
}

TEST(Ops, attention_does_not_depend_on_threads) { EXPECT_EQ(attention_with(1), attention_with(3)); }

TEST(Ops, norms_and_pointwise_functions_cover_every_row) {
  ThreadPool pool(2);
  Ops ops(pool);
  std::vector<float> x(40'000, 3.0f), y(40'000), weight(8, 1.0f);
  ops.rms_norm({.x = x.data(), .rows = 5000, .weight = weight, .eps = 0, .y = y.data()});
  for (float value : y) ASSERT_FLOAT_EQ(value, 1.0f);
  ops.add(x, y);
  for (float value : x) ASSERT_FLOAT_EQ(value, 4.0f);
  ops.silu_multiply(x, y);
  for (float value : x) ASSERT_NEAR(value, 4.0f / (1 + std::exp(-4.0f)), 1e-6);
}

TEST(Pack, reads_inner_dimensions_as_inputs) {
  const std::vector<float> weight(2 * 3 * 4);
  const PackedWeight packed =
      pack({.dtype = DType::f32, .shape = {2, 3, 4}, .bytes = std::as_bytes(std::span(weight))});
  EXPECT_EQ(packed.outputs, 2);
  EXPECT_EQ(packed.inputs, 12);
  EXPECT_EQ(packed.row_bytes, 48u);
}

}  // namespace
}  // namespace qvl
