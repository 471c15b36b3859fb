#include "model/vision_positions.h"

#include <gtest/gtest.h>

#include <cmath>

namespace qvl {
namespace {

VisionConfig small_config() {
  VisionConfig config;
  config.hidden_size = 8;
  config.num_heads = 1;
  config.num_position_embeddings = 9;
  return config;
}

// A table whose value is linear in row and column: interpolation must reproduce it exactly.
TEST(PositionEmbedding, interpolates_with_aligned_corners_in_merge_block_order) {
  const VisionConfig config = small_config();
  std::vector<float> table;
  for (int y = 0; y < 3; ++y) {
    for (int x = 0; x < 3; ++x) {
      for (int d = 0; d < 8; ++d) table.push_back(static_cast<float>(10 * y + x + 100 * d));
    }
  }
  const PatchGrid grid{.t = 2, .h = 4, .w = 6};
  Tensor x(static_cast<uint64_t>(grid.patches()), 8);
  for (float& value : x.values()) value = 0;
  add_position_embedding(table, config, grid, x);
  uint64_t row = 0;
  for (int64_t t = 0; t < 2; ++t) {
    for (int64_t by = 0; by < 4; by += 2) {
      for (int64_t bx = 0; bx < 6; bx += 2) {
        for (int64_t dy = 0; dy < 2; ++dy) {
          for (int64_t dx = 0; dx < 2; ++dx, ++row) {
            const double y = static_cast<double>(by + dy) * 2 / 3, c = static_cast<double>(bx + dx) * 2 / 5;
            for (int d = 0; d < 8; ++d) ASSERT_NEAR(x.row(row)[d], 10 * y + c + 100 * d, 1e-4) << row;
          }
        }
      }
    }
  }
}

TEST(PositionEmbedding, a_single_row_takes_the_first_of_the_table) {
  VisionConfig config = small_config();
  config.spatial_merge_size = 1;
  std::vector<float> table(9 * 8, 0.0f);
  std::fill_n(table.begin(), 8, 1.0f);
  Tensor x(1, 8);
  for (float& value : x.values()) value = 0;
  add_position_embedding(table, config, {.t = 1, .h = 1, .w = 1}, x);
  for (float value : x.values()) EXPECT_EQ(value, 1.0f);
}

TEST(VisionRotary, turns_the_first_half_by_the_row_and_the_second_by_the_column) {
  const VisionConfig config = small_config();  // head_dim 8: two frequencies per axis, 1 and 1/100
  const RotaryTable table = vision_rotary(config, {.t = 1, .h = 4, .w = 4});
  const int64_t places[][2] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 0}};
  ASSERT_EQ(table.cos.rows(), 16u);
  for (uint64_t i = 0; i < std::size(places); ++i) {
    const double angles[] = {places[i][0] * 1.0, places[i][0] * 0.01, places[i][1] * 1.0,
                             places[i][1] * 0.01};
    for (int k = 0; k < 4; ++k) {
      EXPECT_NEAR(table.sin.row(i)[k], std::sin(angles[k]), 1e-6);
      EXPECT_NEAR(table.cos.row(i)[k], std::cos(angles[k]), 1e-6);
    }
  }
}

}  // namespace
}  // namespace qvl
