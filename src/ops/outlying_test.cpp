#include "ops/outlying.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace qvl {
namespace {

using Places = std::vector<int32_t>;

std::vector<float> plain() { return std::vector<float>(100, 1.0f); }

TEST(Outlying, are_none_among_values_of_one_size) { EXPECT_EQ(outlying(plain()), Places{}); }

TEST(Outlying, are_those_above_eight_times_the_median) {
  std::vector<float> sizes = plain();
  sizes[7] = 9;
  sizes[8] = 8;
  sizes[90] = 100;
  EXPECT_EQ(outlying(sizes), (Places{7, 90}));
}

TEST(Outlying, are_at_most_32_the_largest_in_ascending_order) {
  std::vector<float> sizes = plain();
  Places expected;
  for (int32_t i = 0; i < 40; ++i) {
    sizes[static_cast<size_t>(2 * i)] = 100.0f + static_cast<float>(i);
    if (i >= 8) expected.push_back(2 * i);
  }
  EXPECT_EQ(outlying(sizes), expected);
}

TEST(Outlying, are_none_where_nothing_can_be_told) {
  std::vector<float> sizes = plain();
  sizes[5] = 100;
  sizes[0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(outlying(sizes), Places{});
  sizes.assign(100, 0.0f);
  sizes[5] = 1;
  EXPECT_EQ(outlying(sizes), Places{});
  EXPECT_EQ(outlying({}), Places{});
}

TEST(OutputSizes, are_of_weights_times_inputs_and_of_biases_on_any_number_of_threads) {
  constexpr int64_t outputs = 200, inputs = 2;
  // Rows (3, o); inputs of the sizes 1 and 2.
  const auto decode_row = [](int64_t row, float* out) {
    out[0] = 3;
    out[1] = static_cast<float>(row);
  };
  const std::vector<float> input_sizes = {1, 2};
  std::vector<float> bias(outputs, 0.0f);
  bias[1] = 6;
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    const auto sizes = output_sizes(
        pool, {.outputs = outputs, .inputs = inputs, .input_sizes = input_sizes, .bias = bias}, decode_row);
    ASSERT_EQ(sizes.size(), 200u);
    EXPECT_FLOAT_EQ(sizes[0], 3);
    EXPECT_FLOAT_EQ(sizes[1], 7);
    EXPECT_FLOAT_EQ(sizes[2], 5);
    EXPECT_FLOAT_EQ(sizes[199], std::sqrt(9.0f + 4.0f * 199 * 199));
  }
}

}  // namespace
}  // namespace qvl
