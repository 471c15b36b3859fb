// Thousands of made-up requests through every policy; every decision is checked. A failure prints its seed.
#include "scheduler/simulation_testing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <iostream>

namespace qvl::scheduling {
namespace {

SchedulerOptions options_of(Algorithm algorithm) {
  return {.algorithm = algorithm,
          .capacities = {.compute = 8000, .memory = 4000, .io = 30, .gpu_memory = 1000},
          .max_stall_us = 100000};
}

TEST(Simulation, trial) {
  for (Algorithm algorithm : {Algorithm::round_robin, Algorithm::priority, Algorithm::load_balanced}) {
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      const auto report = Simulation({.seed = seed}, options_of(algorithm)).run();
      EXPECT_THAT(report.violations, testing::IsEmpty());
      std::cout << to_string(algorithm) << " seed " << seed << " makespan " << report.makespan_us / 1000000
                << " s steps " << report.steps << " mixed " << report.mixed_steps << " tokens "
                << report.answer_tokens << " finished " << report.status.finished << " refused "
                << report.status.refused << " cancelled " << report.status.cancelled << " failed "
                << report.status.failed << " mean ms " << report.mean_response_us[0] / 1000 << " "
                << report.mean_response_us[1] / 1000 << " " << report.mean_response_us[2] / 1000 << " diff "
                << report.compute_turns.most_difference << " " << report.decode_turns.most_difference << " "
                << report.decode_turns.least << " " << report.decode_turns.most << "\n";
    }
  }
}

}  // namespace
}  // namespace qvl::scheduling
