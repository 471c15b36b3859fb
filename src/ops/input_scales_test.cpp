// Scales of inputs: which columns they even out, and that products stay near with them.
#include "ops/input_scales.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "ops/ops.h"
#include "ops/ops_testing.h"
#include "ops/weight_packer.h"

namespace qvl {
namespace {

constexpr int64_t kOutputs = 96, kInputs = 512;

std::vector<float> scales_of(const std::vector<float>& w, int64_t outputs, int threads = 2) {
  ThreadPool pool(threads);
  std::vector<float> scales(kInputs, -1.0f);
  write_input_scales(
      pool, outputs, kInputs,
      [&](int64_t row, float* out) { std::copy_n(w.data() + row * kInputs, kInputs, out); }, scales.data());
  return scales;
}

void scale_column(std::vector<float>& w, int64_t column, float factor) {
  for (size_t i = static_cast<size_t>(column); i < w.size(); i += kInputs) w[i] *= factor;
}

TEST(InputScales, are_one_for_columns_of_one_size) {
  EXPECT_EQ(scales_of(random_values(kOutputs * kInputs, 1), kOutputs), std::vector<float>(kInputs, 1.0f));
}

TEST(InputScales, follow_small_and_large_columns_in_powers_of_two) {
  auto w = random_values(kOutputs * kInputs, 2);
  scale_column(w, 5, 0.01f);
  scale_column(w, 6, 60.0f);
  scale_column(w, 7, 0.0f);
  scale_column(w, 8, INFINITY);
  scale_column(w, 9, 1e-12f);
  const auto scales = scales_of(w, kOutputs);
  EXPECT_EQ(scales[5], 1.0f / 128);
  EXPECT_EQ(scales[6], 64.0f);
  EXPECT_EQ(scales[7], 1.0f);
  EXPECT_EQ(scales[8], 1.0f);
  EXPECT_EQ(scales[9], 1.0f / 16384);
  EXPECT_EQ(scales, scales_of(w, kOutputs, 1));
}

TEST(InputScales, are_one_where_outputs_are_few) {
  auto w = random_values(kLeastOutputsToScale * kInputs, 3);
  scale_column(w, 5, 0.01f);
  EXPECT_EQ(scales_of(w, kLeastOutputsToScale - 1)[5], 1.0f);
  EXPECT_NE(scales_of(w, kLeastOutputsToScale)[5], 1.0f);
}

// Relative error of a product whose input has a channel `factor` times larger, read by weights that are as
// much smaller.
double product_error(float factor, WeightForm form) {
  auto w = random_values(kOutputs * kInputs, 4), x = random_values(kInputs, 5);
  scale_column(w, 100, 1 / factor);
  x[100] *= factor;
  ThreadPool pool(2);
  Ops ops(pool, best_isa());
  const TensorView view = view_of(w, {kOutputs, kInputs});
  WeightPacker packer(best_isa(), 1 << 20);
  const PackedWeight packed = packer.add({view}, form), exact = stored_weight(view, Isa::scalar);
  packer.pack(pool, {});
  std::vector<float> y(kOutputs), expected(kOutputs);
  ops.linear(ops.input(x.data(), 1, packed), {.weights = {&packed, 1}, .bias = {}, .y = y.data()});
  ops.linear(ops.input(x.data(), 1, exact), {.weights = {&exact, 1}, .bias = {}, .y = expected.data()});
  double error = 0, squares = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    error += std::pow(y[i] - expected[i], 2);
    squares += std::pow(expected[i], 2);
  }
  return std::sqrt(error / squares);
}

TEST(InputScales, keep_the_weights_of_an_outlying_channel) {
  for (WeightForm form : {WeightForm::q8, WeightForm::q4}) {
    const double plain = product_error(1, form), outlying = product_error(100, form);
    EXPECT_LT(outlying, 1.3 * plain) << name_of(form);
  }
}

}  // namespace
}  // namespace qvl
