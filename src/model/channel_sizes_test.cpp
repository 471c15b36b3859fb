#include "model/channel_sizes.h"

#include <gtest/gtest.h>

#include <limits>

namespace qvl {
namespace {

TEST(NormedSizes, are_of_weights_times_the_stream_and_of_biases) {
  const Norm norm{.weight = {1, -2, 0.5f}, .bias = {0, 0, 3}};
  EXPECT_EQ(normed_sizes(norm, std::vector<float>{5, 2, 8}, 3), (std::vector<float>{5, 4, 5}));
}

TEST(NormedSizes, come_once_for_each_patch_that_is_joined_before_the_norm_or_behind_it) {
  const std::vector<float> stream = {1, 10};
  EXPECT_EQ(normed_sizes({.weight = {1, 2, 3, 4}, .bias = {0, 0, 0, 0}}, stream, 4),
            (std::vector<float>{1, 20, 3, 40}));
  EXPECT_EQ(normed_sizes({.weight = {1, 2}, .bias = {0, 0}}, stream, 4), (std::vector<float>{1, 20, 1, 20}));
}

TEST(NormedSizes, are_none_where_widths_do_not_fit) {
  const Norm norm{.weight = {1, 2, 3}, .bias = {0, 0, 0}};
  EXPECT_TRUE(normed_sizes(norm, std::vector<float>{1, 2}, 3).empty());
  EXPECT_TRUE(normed_sizes(norm, std::vector<float>{1, 2, 3}, 4).empty());
  EXPECT_TRUE(normed_sizes(norm, {}, 3).empty());
  EXPECT_TRUE(normed_sizes({.weight = {1, 2}, .bias = {}}, std::vector<float>{1, 2}, 2).empty());
  EXPECT_TRUE(normed_sizes({}, {}, 0).empty());
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
