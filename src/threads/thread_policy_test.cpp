#include "threads/thread_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "threads/duty_cycle.h"
#include "threads/thread_pool.h"

namespace qvl {
namespace {

using enum SchedulerPolicy;
constexpr int kAwake = ThreadPool::kAwakeTurns;

// Four cores of two threads, as a laptop has them.
CpuBudget laptop(std::optional<double> quota = std::nullopt, int threads = 8) {
  CpuBudget out{.cpus = {0, 1, 2, 3, 4, 5, 6, 7}, .cores = 4, .threads = threads, .quota = {}, .cause = ""};
  if (quota) out.quota = {.cpus = *quota, .folder = "/sys/fs/cgroup"};
  return out;
}

ThreadManagerOptions with(SchedulerPolicy policy, int compute = 4) {
  return {.num_compute_threads = compute, .policy = policy};
}

TEST(ThreadPolicy, says_how_hard_to_work) {
  struct Row {
    const char* what;
    ThreadManagerOptions options;
    CpuBudget budget;
    double foreign;
    int threads;
    bool pinned;
    int awake_turns;
    double duty;
  };
  const Row rows[] = {
      {"alone", with(performance), laptop(), 0, 4, true, kAwake, 1},
      {"alone", with(balanced), laptop(), 0, 4, false, kAwake, 1},
      {"alone", with(power_save), laptop(), 0, 2, false, 0, 0.5},
      {"no more than the budget", with(performance, 100), laptop(), 0, 8, true, kAwake, 1},
      {"half the cores of eight threads", with(power_save, 100), laptop(), 0, 2, false, 0, 0.5},
      {"others leave enough", with(performance), laptop(), 4, 4, true, kAwake, 1},
      {"others leave too little", with(performance), laptop(), 4.5, 4, false, 0, 1},
      {"what always runs is no load", with(performance, 8), laptop(), 0.2, 8, true, kAwake, 1},
      {"beside others", with(balanced), laptop(), 1, 4, false, 0, 1},
      {"quota holds the threads", with(performance), laptop(3.5, 3), 0, 3, true, kAwake, 1},
      {"quota below one thread", with(performance), laptop(0.5, 1), 0, 1, false, 0, 1},
      {"quota", with(balanced), laptop(3.5, 3), 0, 3, false, 0, 1},
      {"half of three threads", with(power_save), laptop(3.5, 3), 0, 2, false, 0, 0.5},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(fmt::format("{}, {}", scheduler_policy_name(row.options.policy), row.what));
    const ThreadPlan plan = plan_threads(row.options, row.budget, {.foreign_cpus = row.foreign});
    EXPECT_EQ(plan.compute_threads, row.threads);
    EXPECT_EQ(plan.pinned, row.pinned);
    EXPECT_EQ(plan.awake_turns, row.awake_turns);
    EXPECT_DOUBLE_EQ(plan.duty, row.duty);
    EXPECT_EQ(static_cast<int>(plan.compute_places.size()), row.threads);
  }
}

TEST(ThreadPolicy, does_nothing_that_the_options_do_not_allow) {
  ThreadManagerOptions options = with(performance, 8);
  options.may_pin = false;
  EXPECT_FALSE(plan_threads(options, laptop(), {}).pinned);
  EXPECT_EQ(plan_threads(options, laptop(), {}).awake_turns, kAwake);
  options = with(performance, 8);
  options.may_wait_awake = false;
  EXPECT_EQ(plan_threads(options, laptop(), {}).awake_turns, 0);
  EXPECT_TRUE(plan_threads(options, laptop(), {}).pinned);
  options = with(performance, 8);
  options.may_share_cores = false;
  EXPECT_EQ(plan_threads(options, laptop(), {}).compute_threads, 4);
  EXPECT_EQ(plan_threads(options, laptop(3.5, 3), {}).compute_threads, 3);
  options = with(power_save);
  options.may_rest = false;
  EXPECT_DOUBLE_EQ(plan_threads(options, laptop(), {}).duty, 1);
  EXPECT_DOUBLE_EQ(plan_threads(options, laptop(), {.duty = 0.3}).duty, 0.3);  // of heat
}

TEST(ThreadPolicy, places_threads_in_the_order_of_the_budget) {
  CpuBudget budget{.cpus = {2, 0, 3}, .cores = 2, .threads = 3, .quota = {}, .cause = ""};
  const ThreadPlan pinned = plan_threads(with(performance, 2), budget, {});
  EXPECT_EQ(pinned.compute_places, (std::vector<CpuSet>{{2}, {0}}));
  EXPECT_EQ(pinned.task_place, (CpuSet{0, 2, 3}));
  const ThreadPlan confined = plan_threads(with(balanced, 2), budget, {});
  EXPECT_EQ(confined.compute_places, (std::vector<CpuSet>{{0, 2}, {0, 2}}));
}

TEST(ThreadPolicy, leaves_threads_that_are_not_pinned_any_core) {
  const CpuBudget two{.cpus = {0, 1}, .cores = 2, .threads = 2, .quota = {}, .cause = ""};
  EXPECT_EQ(plan_threads(with(power_save), two, {}).compute_places, (std::vector<CpuSet>{{0, 1}}));
  // One processor of each core, unless there are more threads.
  EXPECT_EQ(plan_threads(with(power_save), laptop(), {}).compute_places,
            (std::vector<CpuSet>(2, {0, 1, 2, 3})));
  EXPECT_EQ(plan_threads(with(balanced, 6), laptop(), {}).compute_places,
            (std::vector<CpuSet>(6, {0, 1, 2, 3, 4, 5})));
  EXPECT_EQ(plan_threads(with(performance, 1), laptop(), {}).compute_places, (std::vector<CpuSet>{{0}}));
}

TEST(ThreadPolicy, bounds_preprocessing_by_the_budget_and_not_reading) {
  ThreadManagerOptions options{.num_io_threads = 16, .num_preprocess_threads = 16};
  const ThreadPlan plan = plan_threads(options, laptop(), {});
  EXPECT_EQ(plan.io_threads, 16);
  EXPECT_EQ(plan.preprocess_threads, 8);
  options.policy = power_save;
  EXPECT_EQ(plan_threads(options, laptop(), {}).preprocess_threads, 2);
}

TEST(ThreadPolicy, follows_the_target_within_options_and_budget) {
  EXPECT_EQ(plan_threads(with(performance), laptop(), {.most_compute_threads = 3}).compute_threads, 3);
  EXPECT_EQ(plan_threads(with(performance), laptop(), {.most_compute_threads = 100}).compute_threads, 4);
  EXPECT_DOUBLE_EQ(plan_threads(with(power_save), laptop(), {.duty = 0.75}).duty, 0.5);
  EXPECT_DOUBLE_EQ(plan_threads(with(power_save), laptop(), {.duty = 0.25}).duty, 0.25);
  EXPECT_DOUBLE_EQ(plan_threads(with(power_save), laptop(), {.duty = 0.01}).duty, DutyCycle::kLeastShare);
}

TEST(ThreadPolicy, puts_compute_before_the_rest_by_what_it_may_do) {
  struct Row {
    SchedulerPolicy policy;
    int priority, own;
    RaiseRight right;
    PriorityPlan expected;
  };
  constexpr auto granted = RaiseRight::granted, missing = RaiseRight::missing;
  constexpr auto equal = PriorityOutcome::equal, first = PriorityOutcome::compute_first,
                 later = PriorityOutcome::others_later;
  const Row rows[] = {
      {performance, 0, 0, granted, {0, 0, equal}},       {performance, 1, 0, granted, {-5, 0, first}},
      {performance, 2, 0, granted, {-10, 0, first}},     {performance, 1, 0, missing, {0, 5, later}},
      {performance, 2, 0, missing, {0, 10, later}},      {balanced, 0, 0, missing, {5, 5, equal}},
      {balanced, 1, 0, missing, {0, 5, first}},          {balanced, 2, 0, granted, {-5, 5, first}},
      {balanced, 2, 0, missing, {0, 10, later}},         {power_save, 1, 0, missing, {5, 10, first}},
      {performance, 2, -15, granted, {-20, -15, first}}, {power_save, 2, 15, missing, {15, 19, first}},
  };
  for (const Row& row : rows) {
    const PriorityPlan found =
        plan_priorities({.thread_priority = row.priority, .policy = row.policy}, row.own, row.right);
    EXPECT_EQ(found, row.expected) << scheduler_policy_name(row.policy) << " " << row.priority << " of "
                                   << row.own << ": " << found.compute_nice << " " << found.task_nice << " "
                                   << priority_outcome_name(found.outcome);
  }
}

TEST(ThreadPolicy, refuses_options_out_of_range) {
  const std::pair<ThreadManagerOptions, const char*> rows[] = {
      {{.num_compute_threads = 0}, "num_compute_threads: found 0, expected 1 to 1024"},
      {{.num_compute_threads = 1025}, "num_compute_threads: found 1025, expected 1 to 1024"},
      {{.num_io_threads = -1}, "num_io_threads: found -1, expected 1 to 1024"},
      {{.num_preprocess_threads = 5000}, "num_preprocess_threads: found 5000, expected 1 to 1024"},
      {{.thread_priority = 3}, "thread_priority: found 3, expected 0 to 2"},
      {{.thread_priority = -1}, "thread_priority: found -1, expected 0 to 2"},
  };
  for (const auto& [options, message] : rows) {
    try {
      check_options(options);
      ADD_FAILURE() << message;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::usage);
      EXPECT_STREQ(error.what(), message);
    }
  }
  EXPECT_NO_THROW(check_options({}));
}

TEST(ThreadPolicy, has_names_for_reports) {
  EXPECT_EQ(scheduler_policy_name(power_save), "power_save");
  EXPECT_EQ(priority_outcome_name(PriorityOutcome::others_later), "others later");
}

}  // namespace
}  // namespace qvl
