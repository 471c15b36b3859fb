// Thousands of made-up requests through every policy, every decision checked. A failure prints its seed.
#include "scheduler/simulation_testing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qvl::scheduling {
namespace {

constexpr std::array kAlgorithms = {Algorithm::round_robin, Algorithm::priority, Algorithm::load_balanced};

std::string trace_of(Algorithm algorithm, uint64_t seed) {
  return fmt::format("{}, seed {}", to_string(algorithm), seed);
}

TEST(Simulation, ten_thousand_requests_keep_every_promise_under_every_policy) {
  for (Algorithm algorithm : kAlgorithms) {
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      SCOPED_TRACE(trace_of(algorithm, seed));
      const auto report = Simulation({.seed = seed}, options_for_arrivals(algorithm)).run();
      EXPECT_THAT(report.violations, testing::IsEmpty());
      EXPECT_GT(report.status.finished, 9000u);
      EXPECT_GT(report.status.cancelled, 100u);
      EXPECT_GT(report.status.failed, 50u);
      EXPECT_GT(report.mixed_steps, report.steps / 10);
    }
  }
}

TEST(Simulation, bursts_into_tiny_capacities_that_change_keep_every_promise) {
  for (Algorithm algorithm : kAlgorithms) {
    for (uint64_t seed = 11; seed <= 13; ++seed) {
      SCOPED_TRACE(trace_of(algorithm, seed));
      SchedulerOptions options = options_for_arrivals(algorithm);
      options.capacities = {.compute = 900, .memory = 500, .io = 4, .gpu_memory = 90};
      options.max_waiting = 40;
      options.max_decode_batch = 3;
      options.max_stall_us = 1'000;  // less than any unit takes
      const Scenario scenario{.seed = seed,
                              .longest_burst = 100,
                              .mean_gap_us = 600'000,
                              .largest = {.compute = 300, .memory = 300, .io = 1, .gpu_memory = 40}};
      Simulation simulation(scenario, options);
      simulation.change_capacities(50, 500);
      const auto report = simulation.run();
      EXPECT_THAT(report.violations, testing::IsEmpty());
      EXPECT_GT(report.status.finished, 2000u);
      EXPECT_GT(report.status.refused, 1000u);
    }
  }
}

TEST(Simulation, without_scheduling_everything_is_granted_at_once) {
  SchedulerOptions options = options_for_arrivals(Algorithm::priority);
  options.scheduling = Scheduling::disabled;
  options.capacities = {};
  const auto report = Simulation({.seed = 21}, options).run();
  EXPECT_THAT(report.violations, testing::IsEmpty());
  EXPECT_EQ(report.status.refused, 0u);
}

TEST(Simulation, round_robin_gives_clients_that_want_more_equal_turns) {
  for (uint64_t seed = 31; seed <= 33; ++seed) {
    SCOPED_TRACE(trace_of(Algorithm::round_robin, seed));
    // A queue that no client empties soon. The requests of client 5 are six times as long as those of client
    // 0.
    SchedulerOptions options = options_for_arrivals(Algorithm::round_robin);
    options.capacities = {.compute = 4'000'000, .memory = 2'000'000, .io = 20'000, .gpu_memory = 500'000};
    options.max_waiting = options.max_preparing = options.max_prepared = 2000;
    const Scenario scenario{
        .seed = seed, .requests = 2000, .mean_gap_us = 0, .long_answers_in = 2, .deadlines_in = 3};
    const auto report = Simulation(scenario, options).run();
    EXPECT_THAT(report.violations, testing::IsEmpty());
    for (const TurnFigures& turns : {report.compute_turns, report.decode_turns}) {
      EXPECT_LE(turns.most_difference, 2u);
      EXPECT_GT(turns.least, 200u);
      EXPECT_LE(turns.most * 100, turns.least * 105);
    }
  }
}

TEST(Simulation, round_robin_never_puts_a_client_more_than_two_turns_behind) {
  for (uint64_t seed = 41; seed <= 43; ++seed) {
    SCOPED_TRACE(trace_of(Algorithm::round_robin, seed));
    const auto report = Simulation({.seed = seed}, options_for_arrivals(Algorithm::round_robin)).run();
    EXPECT_EQ(report.compute_turns.most_difference, 2u);
    EXPECT_EQ(report.decode_turns.most_difference, 2u);
  }
}

TEST(Simulation, priority_serves_by_class_and_the_lowest_finishes_under_overload) {
  for (uint64_t seed = 51; seed <= 53; ++seed) {
    SCOPED_TRACE(trace_of(Algorithm::priority, seed));
    // Twice as many requests as the machine can serve, in a queue that takes them all.
    SchedulerOptions options = options_for_arrivals(Algorithm::priority);
    options.max_waiting = 10'000;
    const Scenario scenario{.seed = seed,
                            .requests = 3000,
                            .mean_gap_us = 80'000,
                            .cancels_in = 1'000'000,
                            .failures_in = 1'000'000};
    const auto report = Simulation(scenario, options).run();
    EXPECT_THAT(report.violations, testing::IsEmpty());
    EXPECT_EQ(report.status.finished, 3000u);
    EXPECT_LT(5 * report.mean_response_us[0], report.mean_response_us[1]);
    EXPECT_LT(report.mean_response_us[1], report.mean_response_us[2]);
  }
}

// Arrivals that are more than the machine can serve for a while, half of them with a deadline.
Scenario hurried(uint64_t seed, Scenario::Deadlines deadlines) {
  return {.seed = seed,
          .requests = 1000,
          .mean_gap_us = 120'000,
          .cancels_in = 1'000'000,
          .failures_in = 1'000'000,
          .deadlines_in = 2,
          .deadlines = deadlines};
}

TEST(Simulation, deadlines_are_kept_more_often_and_no_promise_less) {
  using Deadlines = Scenario::Deadlines;
  for (Algorithm algorithm : kAlgorithms) {
    for (uint64_t seed = 71; seed <= 72; ++seed) {
      SCOPED_TRACE(trace_of(algorithm, seed));
      SchedulerOptions options = options_for_arrivals(algorithm);
      options.max_waiting = 10'000;
      const auto secret = Simulation(hurried(seed, Deadlines::kept_secret), options).run();
      const auto told = Simulation(hurried(seed, Deadlines::told), options).run();
      std::printf("%s: %d of about 500 deadlines missed, %d where nobody knows of them\n",
                  std::string(to_string(algorithm)).c_str(), static_cast<int>(told.missed_deadlines),
                  static_cast<int>(secret.missed_deadlines));
      EXPECT_THAT(told.violations, testing::IsEmpty());
      EXPECT_EQ(told.status.finished, 1000u);
      EXPECT_LT(told.missed_deadlines, secret.missed_deadlines);
      if (algorithm != Algorithm::round_robin) continue;
      EXPECT_LE(told.compute_turns.most_difference, 2u);
      EXPECT_LE(told.decode_turns.most_difference, 2u);
    }
  }
}

TEST(Simulation, load_balanced_finishes_a_mixed_load_sooner_than_the_others) {
  for (uint64_t seed = 61; seed <= 64; ++seed) {
    std::array<int64_t, 3> makespans{};
    for (Algorithm algorithm : kAlgorithms) {
      SCOPED_TRACE(trace_of(algorithm, seed));
      const auto report = Simulation(mixed_load(seed), options_for_mixed_load(algorithm)).run();
      EXPECT_THAT(report.violations, testing::IsEmpty());
      makespans[static_cast<size_t>(algorithm)] = report.makespan_us;
    }
    const int64_t best_other = std::min(makespans[0], makespans[1]);
    const int64_t gain_permille = 1000 * (best_other - makespans[2]) / best_other;
    std::printf("seed %d: load_balanced finishes %d permille sooner\n", static_cast<int>(seed),
                static_cast<int>(gain_permille));
    EXPECT_GT(gain_permille, 20) << "seed " << seed;
  }
}

}  // namespace
}  // namespace qvl::scheduling
