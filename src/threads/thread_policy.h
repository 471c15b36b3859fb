// How hard the threads of this process work: from options, budget and load to sizes, places, waiting and
// priorities.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "qvl/system_config.h"
#include "threads/cpu_budget.h"

namespace qvl {

// What a policy means here, for compute threads:
//
// - performance: as many as the budget, one on each processor and awake while they wait, neither of it over
//   budget. Nice +0.
// - balanced: as many as the budget, on any of its cores; awake while they wait only without a quota, with
//   nobody beside them, and within the budget. Nice +5.
// - power_save: half as many as cores, on any of them, asleep while they wait, at work kPowerSaveDuty
//   of the time. Nice +10.
//
// Over budget: more threads than the quota, or than the processors that others leave. Preprocessing has as
// many threads as the policy allows compute threads, reading and writing has what was asked: it hardly
// computes.

/// "balanced", as configurations spell it.
std::string_view scheduler_policy_name(SchedulerPolicy policy);

struct ThreadManagerOptions {
  static constexpr int kMostThreads = 1024;

  int num_compute_threads = 4;     ///< most threads that compute, the caller counted; 1 to kMostThreads
  int num_io_threads = 2;          ///< 1 to kMostThreads
  int num_preprocess_threads = 4;  ///< 1 to kMostThreads
  int thread_priority = 1;         ///< of compute over the rest: 0 none, 1 above, 2 high
  std::optional<CpuSet> cpu_affinity_mask = {};
  SchedulerPolicy policy = SchedulerPolicy::performance;
  /// What policy and load may do at all. What is not allowed here never happens, whatever they say.
  bool may_pin = true;
  bool may_wait_awake = true;
  bool may_share_cores = true;  ///< more threads than there are cores
  bool may_rest = true;         ///< compute a part of the time only, to save power
};

/// Throws Error{usage} naming the field, what was found and the range.
void check_options(const ThreadManagerOptions& options);

/// What the control loop asks for between two steps.
struct ThreadTarget {
  std::optional<int> most_compute_threads = {};  ///< >= 1; nothing: as the options say
  double foreign_cpus = 0;                       ///< processors that other programs keep busy now, measured
  double duty = 1;                               ///< in (0, 1]; the policy's where that is less

  bool operator==(const ThreadTarget&) const = default;
};

struct ThreadPlan {
  int compute_threads = 1;
  int io_threads = 1;
  int preprocess_threads = 1;
  std::vector<CpuSet> compute_places;  ///< for each compute thread, the caller first
  CpuSet task_place;                   ///< for the threads of the two other pools
  bool pinned = false;                 ///< each compute thread has a processor of its own
  int awake_turns = 0;
  double duty = 1;
};

/// `options` have been checked.
ThreadPlan plan_threads(const ThreadManagerOptions& options, const CpuBudget& budget,
                        const ThreadTarget& target);

/// How compute was put before the other pools.
enum class PriorityOutcome {
  equal,          ///< nothing was asked
  compute_first,  ///< compute is as much more urgent as asked
  others_later,   ///< this process may not raise a thread, so the other pools were lowered instead
};
std::string_view priority_outcome_name(PriorityOutcome outcome);

struct PriorityPlan {
  int compute_nice = 0;
  int task_nice = 0;
  PriorityOutcome outcome = PriorityOutcome::equal;

  bool operator==(const PriorityPlan&) const = default;
};

/// Each step of thread_priority puts compute five nice levels (a weight of about three) before the other
/// pools. `own` is the nice level of the process; it goes below that only where it `may_raise`.
enum class RaiseRight { granted, missing };
PriorityPlan plan_priorities(const ThreadManagerOptions& options, int own, RaiseRight right);

}  // namespace qvl
