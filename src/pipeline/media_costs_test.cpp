// Predictions for pictures: in proportion to what was measured, and none before.
#include "pipeline/media_costs.h"

#include <gtest/gtest.h>

namespace qvl {
namespace {

TEST(MediaCosts, are_unknown_before_anything_was_measured) {
  MediaCosts costs;
  EXPECT_EQ(costs.cutting_s(1), std::nullopt);
  EXPECT_EQ(costs.encoding_s(1), std::nullopt);
  costs.learn_cutting(1 << 20, 0.01);
  EXPECT_NE(costs.cutting_s(1), std::nullopt);
  EXPECT_EQ(costs.encoding_s(1), std::nullopt);
}

TEST(MediaCosts, are_in_proportion_to_the_work) {
  MediaCosts costs;
  costs.learn_cutting(1024 * 1000, 0.008);  // 8 us for 1024 pixels
  EXPECT_DOUBLE_EQ(costs.cutting_s(1024).value(), 8e-6);
  EXPECT_DOUBLE_EQ(costs.cutting_s(512 * 1000).value(), 0.004);
  costs.learn_encoding(64 * 100, 0.2);  // 2000 us for 64 patches
  EXPECT_DOUBLE_EQ(costs.encoding_s(640).value(), 0.02);
  EXPECT_DOUBLE_EQ(costs.encoding_s(0).value(), 0.0);
}

TEST(MediaCosts, count_parts_of_a_unit) {
  MediaCosts costs;
  costs.learn_encoding(112, 0.00175);  // one and three quarters of 64 patches
  EXPECT_DOUBLE_EQ(costs.encoding_s(64).value(), 0.001);
  EXPECT_DOUBLE_EQ(costs.encoding_s(112).value(), 0.00175);
}

TEST(MediaCosts, move_by_an_eighth_and_take_a_pause_for_four_times_the_average) {
  MediaCosts costs;
  costs.learn_encoding(64, 0.001);
  costs.learn_encoding(64, 1e9);
  EXPECT_DOUBLE_EQ(costs.encoding_s(64).value(), 0.001375);  // 1000 us + (4000 us - 1000 us) / 8
}

}  // namespace
}  // namespace qvl
