#include "model/outlying_inputs.h"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>

namespace qvl {
namespace {

using Channels = std::vector<int32_t>;

constexpr size_t kWidth = 100;

Norm plain_norm() {
  return {.weight = std::vector<float>(kWidth, 1.0f), .bias = std::vector<float>(kWidth, 0.0f)};
}
const std::vector<float> kPlainStream(kWidth, 1.0f);

TEST(OutlyingInputs, are_none_where_channels_are_of_one_size) {
  EXPECT_EQ(outlying_inputs(plain_norm(), kPlainStream), Channels{});
}

TEST(OutlyingInputs, are_those_of_large_weights_and_of_large_biases) {
  Norm norm = plain_norm();
  norm.weight[7] = -9.0f;
  norm.weight[8] = 7.0f;
  norm.bias[90] = 100.0f;
  EXPECT_EQ(outlying_inputs(norm, kPlainStream), (Channels{7, 90}));
}

TEST(OutlyingInputs, are_those_that_the_stream_keeps_large_unless_the_norm_makes_them_small) {
  std::vector<float> stream = kPlainStream;
  stream[3] = stream[4] = 50.0f;
  Norm norm = plain_norm();
  norm.weight[4] = 0.1f;
  EXPECT_EQ(outlying_inputs(norm, stream), Channels{3});
}

TEST(OutlyingInputs, are_at_most_32_the_largest_in_ascending_order) {
  Norm norm = plain_norm();
  for (size_t i = 0; i < 40; ++i) norm.weight[2 * i] = 100.0f + static_cast<float>(i);
  const Channels found = outlying_inputs(norm, kPlainStream);
  Channels expected;
  for (int32_t i = 8; i < 40; ++i) expected.push_back(2 * i);
  EXPECT_EQ(found, expected);
}

TEST(OutlyingInputs, are_none_where_nothing_can_be_told) {
  Norm norm = plain_norm();
  norm.weight[0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(outlying_inputs(norm, kPlainStream), Channels{});
  norm = plain_norm();
  norm.weight[5] = 100.0f;
  EXPECT_EQ(outlying_inputs(norm, std::span(kPlainStream).first(50)), Channels{});
  EXPECT_EQ(outlying_inputs({}, {}), Channels{});
  norm.weight.assign(kWidth, 0.0f);
  norm.weight[5] = 1.0f;
  EXPECT_EQ(outlying_inputs(norm, kPlainStream), Channels{});
}

TEST(KnownStream, has_the_sizes_of_embeddings_and_biases_over_the_median) {
  // Two rows of three channels: mean squares 4, 1 and 16 before biases.
  const std::vector<float> embeddings = {2, 1, 4, -2, -1, -4};
  KnownStream stream(embeddings, 3);
  EXPECT_EQ(stream.sizes(), (std::vector<float>{1, 0.5f, 2}));
  stream.add(std::vector<float>{0, 0, 3});  // 16 + 9
  EXPECT_EQ(stream.sizes(), (std::vector<float>{1, 0.5f, 2.5f}));
  stream.add(std::vector<float>{100});  // of another width
  EXPECT_EQ(stream.sizes(), (std::vector<float>{1, 0.5f, 2.5f}));
}

TEST(KnownStream, tells_nothing_where_most_channels_are_zero_or_one_is_not_finite) {
  KnownStream zeros({}, 3);
  zeros.add(std::vector<float>{0, 0, 3});
  EXPECT_EQ(zeros.sizes(), (std::vector<float>{1, 1, 1}));
  KnownStream infinite(std::vector<float>{1, 1, 1}, 3);
  infinite.add(std::vector<float>{0, std::numeric_limits<float>::infinity(), 0});
  EXPECT_EQ(infinite.sizes(), (std::vector<float>{1, 1, 1}));
  EXPECT_TRUE(KnownStream({}, 0).sizes().empty());
}

}  // namespace
}  // namespace qvl
