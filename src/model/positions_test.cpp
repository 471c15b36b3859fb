#include "model/positions.h"

#include <gtest/gtest.h>

namespace qvl {
namespace {

TEST(PositionCounter, follows_the_reference_through_text_a_picture_and_text) {
  PositionCounter counter;
  std::vector<Position> out;
  counter.append_text(3, out);
  counter.append_block(4, 6, 2, out);
  counter.append_text(4, out);
  const int32_t t[] = {0, 1, 2, 3, 3, 3, 3, 3, 3, 6, 7, 8, 9};
  const int32_t h[] = {0, 1, 2, 3, 3, 3, 4, 4, 4, 6, 7, 8, 9};
  const int32_t w[] = {0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7, 8, 9};
  ASSERT_EQ(out.size(), std::size(t));
  for (size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i], (Position{t[i], h[i], w[i]})) << i;
  EXPECT_EQ(counter.next(), 10);
}

TEST(PositionCounter, a_tall_block_advances_by_its_height) {
  PositionCounter counter;
  std::vector<Position> out;
  counter.append_block(10, 2, 2, out);
  EXPECT_EQ(counter.next(), 5);
  EXPECT_EQ(out.size(), 5u);
}

}  // namespace
}  // namespace qvl
