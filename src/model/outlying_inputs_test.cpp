#include "model/outlying_inputs.h"

#include <gtest/gtest.h>

#include <limits>

namespace qvl {
namespace {

TEST(NormedSizes, are_of_weights_times_the_stream_and_of_biases) {
  const Norm norm{.weight = {1, -2, 0.5f}, .bias = {0, 0, 3}};
  EXPECT_EQ(normed_sizes(norm, std::vector<float>{5, 2, 8}), (std::vector<float>{5, 4, 5}));
}

TEST(NormedSizes, take_the_stream_once_for_each_patch_that_is_joined) {
  const Norm norm{.weight = {1, 2, 3, 4}, .bias = {0, 0, 0, 0}};
  EXPECT_EQ(normed_sizes(norm, std::vector<float>{1, 10}), (std::vector<float>{1, 20, 3, 40}));
}

TEST(NormedSizes, are_none_where_widths_do_not_fit) {
  const Norm norm{.weight = {1, 2, 3}, .bias = {0, 0, 0}};
  EXPECT_TRUE(normed_sizes(norm, std::vector<float>{1, 2}).empty());
  EXPECT_TRUE(normed_sizes(norm, {}).empty());
  EXPECT_TRUE(normed_sizes({.weight = {1, 2}, .bias = {}}, std::vector<float>{1, 2}).empty());
  EXPECT_TRUE(normed_sizes({}, {}).empty());
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
