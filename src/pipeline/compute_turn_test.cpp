// Turns to compute: in the order of the line, and a place in it may be given up.
#include "pipeline/compute_turn.h"

#include <gtest/gtest.h>

namespace qvl {
namespace {

using Clock = std::chrono::steady_clock;

bool has_turn(ComputePlace& place) { return place.wait(Clock::now()); }

TEST(ComputeQueue, gives_the_turn_to_who_came_first) {
  ComputeQueue queue;
  ComputePlace first(queue);
  EXPECT_FALSE(queue.wanted());
  ComputePlace second(queue);
  EXPECT_TRUE(queue.wanted());
  EXPECT_TRUE(has_turn(first));
  EXPECT_FALSE(has_turn(second));
}

TEST(ComputeQueue, moves_on_when_a_turn_ends) {
  ComputeQueue queue;
  auto first = std::make_optional<ComputePlace>(queue);
  ComputePlace second(queue);
  first.reset();
  EXPECT_TRUE(has_turn(second));
  EXPECT_FALSE(queue.wanted());
}

TEST(ComputeQueue, forgets_a_place_that_was_given_up) {
  ComputeQueue queue;
  auto first = std::make_optional<ComputePlace>(queue);
  auto second = std::make_optional<ComputePlace>(queue);
  ComputePlace third(queue);
  second.reset();
  EXPECT_TRUE(has_turn(*first));
  EXPECT_FALSE(has_turn(third));
  first.reset();
  EXPECT_TRUE(has_turn(third));
}

}  // namespace
}  // namespace qvl
