// Operations give the same bits for any number of threads and any number of rows together.
#include "ops/ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "ops/ops_testing.h"
#include "ops/weight_packer.h"

namespace qvl {
namespace {

std::vector<float> linear_with(int threads, int64_t rows, WeightForm form, Isa isa) {
  const auto first = random_values(100 * 64, 1), second = random_values(28 * 64, 4);
  const auto x = random_values(9 * 64, 2), bias = random_values(128, 3);
  ThreadPool pool(threads);
  Ops ops(pool, isa);
  WeightPacker packer(isa, 1 << 20);
  std::vector<PackedWeight> parts;
  if (form == WeightForm::stored) {
    parts = {stored_weight(view_of(first, {100, 64}), isa), stored_weight(view_of(second, {28, 64}), isa)};
  } else {
    parts = {packer.add({view_of(first, {100, 64}), view_of(second, {28, 64})}, form)};
  }
  packer.pack(pool, {});
  std::vector<float> y(static_cast<size_t>(rows * 128));
  ops.linear(ops.input(x.data(), rows, parts.front()), {.weights = parts, .bias = bias, .y = y.data()});
  return y;
}

TEST(Ops, linear_does_not_depend_on_threads_or_on_other_rows) {
  for (const MatmulKernel& kernel : matmul_kernels()) {
    if (!supported(kernel.isa)) continue;
    const auto one = linear_with(1, 9, kernel.form, kernel.isa);
    EXPECT_EQ(one, linear_with(3, 9, kernel.form, kernel.isa)) << kernel.name;
    auto few = linear_with(2, 4, kernel.form, kernel.isa);
    EXPECT_TRUE(std::equal(few.begin(), few.end(), one.begin())) << kernel.name;
  }
}

TEST(Ops, linear_in_integers_is_near_the_stored_one) {
  const auto exact = linear_with(2, 9, WeightForm::stored, Isa::scalar);
  for (WeightForm form : {WeightForm::q8, WeightForm::q4}) {
    const auto found = linear_with(2, 9, form, Isa::scalar);
    double error = 0, squares = 0;
    for (size_t i = 0; i < exact.size(); ++i) {
      error += std::pow(found[i] - exact[i], 2);
      squares += exact[i] * exact[i];
    }
    EXPECT_LT(error / squares, form == WeightForm::q8 ? 3e-4 : 1.5e-2);
  }
}

// Inputs of which two are a hundred times as large as the others, and their product with plain weights; by
// how much of its size it is off, in the mean over outputs.
double error_with_outliers(WeightForm form, Isa isa, int64_t inputs, int threads, bool repeated) {
  constexpr int64_t rows = 5, outputs = 130;
  const std::vector<int32_t> large = {3, static_cast<int32_t>(inputs - 1)};
  const auto w = random_values(outputs * inputs, 7);
  auto x = random_values(rows * inputs, 8);
  for (int64_t r = 0; r < rows; ++r) {
    for (const int32_t input : large) x[static_cast<size_t>(r * inputs + input)] *= 100;
  }
  ThreadPool pool(threads);
  WeightPacker packer(isa, 8 << 20);
  const auto shape = Shape{static_cast<uint64_t>(outputs), static_cast<uint64_t>(inputs)};
  const PackedWeight weight = packer.add({view_of(w, shape)}, form, RestRule::outlying,
                                         {.outlying = repeated ? large : std::vector<int32_t>{}});
  packer.pack(pool, {});
  Ops ops(pool, isa);
  std::vector<float> y(static_cast<size_t>(rows * outputs));
  ops.linear(ops.input(x.data(), rows, weight), {.weights = {&weight, 1}, .bias = {}, .y = y.data()});
  double error = 0, squares = 0;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < outputs; ++o) {
      double exact = 0;
      for (int64_t i = 0; i < inputs; ++i) {
        exact += static_cast<double>(x[static_cast<size_t>(r * inputs + i)]) *
                 w[static_cast<size_t>(o * inputs + i)];
      }
      error += std::pow(y[static_cast<size_t>(r * outputs + o)] - exact, 2);
      squares += exact * exact;
    }
  }
  return std::sqrt(error / squares);
}

TEST(Ops, weights_of_outlying_inputs_are_finer_where_their_columns_are_repeated) {
  for (const MatmulKernel& kernel : matmul_kernels()) {
    if (!supported(kernel.isa) || (kernel.form != WeightForm::q8 && kernel.form != WeightForm::q7)) continue;
    for (const int64_t inputs : {64, 256, 352}) {
      const double plain = error_with_outliers(kernel.form, kernel.isa, inputs, 1, false);
      const double finer = error_with_outliers(kernel.form, kernel.isa, inputs, 1, true);
      EXPECT_LT(finer, plain / 4) << kernel.name << " " << inputs;
      EXPECT_EQ(finer, error_with_outliers(kernel.form, Isa::scalar, inputs, 3, true)) << kernel.name;
    }
  }
}

std::vector<float> attention_with(int threads) {
  const auto q = random_values(70 * 4 * 16, 1), k = random_values(70 * 2 * 16, 2),
             v = random_values(70 * 2 * 16, 3);
  std::vector<float> out(70 * 4 * 16);
  ThreadPool pool(threads);
  Ops(pool, Isa::scalar)
      .attention(AttentionArgs{.q = q.data(),
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

std::vector<float> blocked_attention_with(int threads, Isa isa, KvInteger integer) {
  const auto q = random_values(70 * 4 * 16, 1), k = random_values(70 * 2 * 16, 2),
             v = random_values(70 * 2 * 16, 3);
  std::vector<float> out(70 * 4 * 16);
  const int64_t bytes = 2 * KvBlockLayout{16, integer}.bytes();
  std::vector<std::byte> memory(static_cast<size_t>(2 * bytes), std::byte{0xFF});  // scales would be NaN
  const KvBlocks blocks{memory.data(), bytes, 16, integer};
  ThreadPool pool(threads);
  Ops ops(pool, isa);
  ops.write_kv(blocks, {.k = k.data(), .v = v.data(), .tokens = 70, .first = 0, .kv_heads = 2, .stride = 32});
  ops.attention(BlockedAttentionArgs{.q = q.data(),
                                     .kv = blocks,
                                     .out = out.data(),
                                     .queries = 70,
                                     .keys = 70,
                                     .first = 0,
                                     .heads = 4,
                                     .kv_heads = 2,
                                     .q_stride = 64,
                                     .mask = AttentionArgs::Mask::causal});
  return out;
}

TEST(Ops, attention_does_not_depend_on_threads) {
  EXPECT_EQ(attention_with(1), attention_with(3));
  for (Isa isa : all_isas()) {
    if (!supported(isa)) continue;
    for (KvInteger integer : {KvInteger::i16, KvInteger::i8}) {
      const auto one = blocked_attention_with(1, isa, integer), plain = attention_with(1);
      EXPECT_EQ(one, blocked_attention_with(3, isa, integer));
      const float near = integer == KvInteger::i16 ? 2e-3f : 3e-2f;
      for (size_t i = 0; i < one.size(); ++i) ASSERT_NEAR(one[i], plain[i], near);
    }
  }
}

TEST(Ops, norms_cover_every_row_and_feed_linear_layers) {
  ThreadPool pool(2);
  Ops ops(pool, best_isa());
  std::vector<float> x(40'000, 3.0f), y(40'000), weight(8, 1.0f);
  ops.rms_norm({.x = x.data(), .rows = 5000, .weight = weight, .eps = 0, .y = y.data()});
  for (float value : y) ASSERT_FLOAT_EQ(value, 1.0f);
  const PackedWeight stored{.inputs = 8};
  const LinearInput floats =
      ops.rms_norm_input({.x = x.data(), .rows = 5000, .weight = weight, .eps = 0, .y = y.data()}, stored);
  EXPECT_EQ(floats.x, y.data());
  const std::vector<float> scale = {1, 1, 1, 1, 1, 1, 0.5f, 0.5f};
  const PackedWeight packed{.form = WeightForm::q8, .inputs = 8, .input_scale = scale.data()};
  const LinearInput integers =
      ops.rms_norm_input({.x = x.data(), .rows = 5000, .weight = weight, .eps = 0, .y = nullptr}, packed);
  for (int64_t r = 0; r < 5000; ++r) {
    // Ones side by side: pairs are bounded by 127.5 steps, so each takes 64 of them.
    ASSERT_EQ(integers.quantised_x->main.values[r * kGroup + 5], 64);
    ASSERT_EQ(integers.quantised_x->main.values[r * kGroup + 7], 32);
    ASSERT_EQ(integers.quantised_x->main.values[r * kGroup + 8], 0);
  }
}

TEST(Ops, follow_a_pool_that_grows) {
  ThreadPool pool(1);
  Ops ops(pool, best_isa());
  const auto x = random_values(5000 * 8, 1);
  const std::vector<float> weight(8, 1.0f);
  const PackedWeight packed{.form = WeightForm::q8, .inputs = 8, .input_scale = weight.data()};
  const auto quantised = [&] {
    const LinearInput input =
        ops.rms_norm_input({.x = x.data(), .rows = 5000, .weight = weight, .eps = 0, .y = nullptr}, packed);
    return std::vector<int8_t>(input.quantised_x->main.values,
                               input.quantised_x->main.values + 5000 * kGroup);
  };
  const auto alone = quantised();
  ASSERT_EQ(pool.resize(4), 4);
  EXPECT_EQ(quantised(), alone);
}

TEST(Ops, silu_joins_gate_and_up_of_every_row) {
  ThreadPool pool(2);
  Ops ops(pool, best_isa());
  std::vector<float> gate_up(300 * 2 * 5);
  for (size_t r = 0; r < 300; ++r) {
    for (size_t i = 0; i < 5; ++i) {
      gate_up[r * 10 + i] = static_cast<float>(r % 7);
      gate_up[r * 10 + 5 + i] = static_cast<float>(i);
    }
  }
  const LinearInput input = ops.silu_input(gate_up.data(), 300, {.inputs = 5});
  for (size_t r = 0; r < 300; ++r) {
    for (size_t i = 0; i < 5; ++i) {
      const auto gate = static_cast<float>(r % 7);
      ASSERT_NEAR(input.x[r * 5 + i], gate / (1 + std::exp(-gate)) * static_cast<float>(i), 1e-5);
    }
  }
}

TEST(StoredWeight, reads_inner_dimensions_as_inputs) {
  const std::vector<float> weight(2 * 3 * 4);
  const PackedWeight packed = stored_weight(view_of(weight, {2, 3, 4}), Isa::scalar);
  EXPECT_EQ(packed.outputs, 2);
  EXPECT_EQ(packed.inputs, 12);
  EXPECT_EQ(packed.row_bytes, 48u);
}

}  // namespace
}  // namespace qvl
