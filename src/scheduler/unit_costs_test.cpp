#include "scheduler/unit_costs.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace qvl::scheduling {
namespace {

TEST(UnitCosts, begin_as_guesses_that_the_first_measurement_replaces) {
  UnitCosts costs({.vision_us = 7, .prefill_us = 8, .decode_us = 9});
  EXPECT_EQ(costs.us(StepPart::vision), 7);
  EXPECT_EQ(costs.us(StepPart::prefill), 8);
  EXPECT_EQ(costs.us(StepPart::decode), 9);
  EXPECT_EQ(costs.measured_us(StepPart::prefill), std::nullopt);
  costs.learn(StepPart::prefill, 100, 45'000);
  EXPECT_EQ(costs.us(StepPart::prefill), 450);
  EXPECT_EQ(costs.measured_us(StepPart::prefill), 450.0);
  EXPECT_EQ(costs.measured_us(StepPart::decode), std::nullopt);
  EXPECT_EQ(costs.us(StepPart::decode), 9);
}

TEST(UnitCosts, move_by_an_eighth_of_the_difference) {
  UnitCosts costs({});
  costs.learn(StepPart::vision, 1, 800);
  costs.learn(StepPart::vision, 2, 3'200);  // 1,600 each
  EXPECT_EQ(costs.us(StepPart::vision), 900);
  costs.learn(StepPart::vision, 1, 100);
  EXPECT_EQ(costs.us(StepPart::vision), 800);
}

TEST(UnitCosts, one_pause_counts_as_four_times_the_average_and_a_lasting_change_is_learned) {
  UnitCosts costs({});
  costs.learn(StepPart::decode, 1, 1'000);
  costs.learn(StepPart::decode, 1, 60'000'000);
  EXPECT_EQ(costs.us(StepPart::decode), 1'375);  // 1000 + (4000 - 1000) / 8
  for (int i = 0; i < 60; ++i) costs.learn(StepPart::decode, 1, 20'000);
  EXPECT_NEAR(static_cast<double>(costs.us(StepPart::decode)), 20'000, 50);
}

TEST(UnitCosts, stay_within_their_bounds_whatever_they_are_told) {
  UnitCosts costs({.vision_us = -5, .prefill_us = INT64_MAX, .decode_us = 0});
  EXPECT_EQ(costs.us(StepPart::vision), 1);
  EXPECT_EQ(costs.us(StepPart::prefill), 600'000'000);
  for (int64_t us : {int64_t{0}, INT64_MIN, int64_t{3}}) {
    costs.learn(StepPart::decode, UINT32_MAX, us);
    EXPECT_EQ(costs.us(StepPart::decode), 1);
  }
  costs.learn(StepPart::vision, 1, INT64_MAX);
  for (int i = 0; i < 200; ++i) costs.learn(StepPart::vision, 1, INT64_MAX);
  EXPECT_EQ(costs.us(StepPart::vision), 600'000'000);
}

}  // namespace
}  // namespace qvl::scheduling
