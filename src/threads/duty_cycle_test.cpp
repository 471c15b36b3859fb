#include "threads/duty_cycle.h"

#include <gtest/gtest.h>

namespace qvl {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

TEST(DutyCycle, rests_once_the_work_of_a_period_has_come_together) {
  DutyCycle duty(0.25);
  EXPECT_EQ(duty.rest_after(milliseconds(2)), milliseconds(0));
  EXPECT_EQ(duty.rest_after(milliseconds(2)), milliseconds(0));
  EXPECT_EQ(duty.rest_after(milliseconds(2)), milliseconds(18));  // 6 ms are a quarter of 24 ms
  EXPECT_EQ(duty.rest_after(milliseconds(4)), milliseconds(0));   // begins again
  EXPECT_EQ(duty.rest_after(milliseconds(1)), milliseconds(15));
}

TEST(DutyCycle, never_rests_at_full_share) {
  DutyCycle duty;
  EXPECT_TRUE(duty.never_rests());
  EXPECT_EQ(duty.rest_after(hours(1)), milliseconds(0));
}

TEST(DutyCycle, takes_a_stopped_program_for_no_work) {
  DutyCycle duty(0.5);
  EXPECT_EQ(duty.rest_after(hours(1)), milliseconds(100));
}

}  // namespace
}  // namespace qvl
