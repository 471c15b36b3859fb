#include "model/text_rotary.h"

#include <gtest/gtest.h>

#include <cmath>

namespace qvl {
namespace {

TEST(TextRotary, interleaves_time_height_and_width_and_ends_with_time) {
  TextConfig config;
  config.head_dim = 128;
  config.rope_theta = 5e6;
  config.mrope_section = {24, 20, 20};
  const Position position{1, 10, 100};
  const RotaryTable table = text_rotary(config, std::span(&position, 1));
  ASSERT_EQ(table.sin.columns(), 64u);
  for (int i = 0; i < 64; ++i) {
    const int place = i < 60 ? std::array{1, 10, 100}[static_cast<size_t>(i % 3)] : 1;
    const double angle = place * std::pow(5e6, -2.0 * i / 128);
    EXPECT_NEAR(table.sin.row(0)[i], std::sin(angle), 2e-5) << i;
    EXPECT_NEAR(table.cos.row(0)[i], std::cos(angle), 2e-5) << i;
  }
}

}  // namespace
}  // namespace qvl
