#include "base/waiting_time.h"

#include <gtest/gtest.h>

namespace qvl {
namespace {

using std::chrono::milliseconds;

TEST(WaitingTime, is_what_clocks_can_add_to_now) {
  EXPECT_EQ(waiting_time(milliseconds(0)), milliseconds(0));
  EXPECT_EQ(waiting_time(milliseconds(1500)), milliseconds(1500));
  EXPECT_EQ(waiting_time(milliseconds(-1)), milliseconds(0));
  EXPECT_EQ(waiting_time(milliseconds::min()), milliseconds(0));
  EXPECT_EQ(waiting_time(milliseconds::max()), milliseconds(3'155'760'000'000));
  const auto now = std::chrono::steady_clock::now();
  EXPECT_GT(now + waiting_time(milliseconds::max()), now);
}

}  // namespace
}  // namespace qvl
