#include "threads/thread_policy.h"

#include <algorithm>

#include "base/error.h"
#include "threads/duty_cycle.h"
#include "threads/thread_pool.h"

namespace qvl {
namespace {

// Below this the rest of the machine is idle but for what always runs.
constexpr double kForeignIdle = 0.25;
constexpr int kNicePerPriority = 5;

struct PolicyRules {
  enum class Threads { budget, half_the_cores };
  enum class When { unless_over_budget, alone, never };  // alone: not over budget, no quota, no foreign load

  SchedulerPolicy policy;
  std::string_view name;
  Threads threads;
  When awake, pinned;
  double duty;
  int nice;
};

using Threads = PolicyRules::Threads;
using When = PolicyRules::When;
constexpr PolicyRules kRules[] = {
    {SchedulerPolicy::performance, "performance", Threads::budget, When::unless_over_budget,
     When::unless_over_budget, 1, 0},
    {SchedulerPolicy::balanced, "balanced", Threads::budget, When::alone, When::never, 1, 5},
    {SchedulerPolicy::power_save, "power_save", Threads::half_the_cores, When::never, When::never,
     kPowerSaveDuty, 10}};

const PolicyRules& rules(SchedulerPolicy policy) {
  const auto* found = std::find_if(std::begin(kRules), std::end(kRules),
                                   [&](const auto& each) { return each.policy == policy; });
  QVL_CHECK(found != std::end(kRules));
  return *found;
}

int most_threads(Threads which, const CpuBudget& budget, const ThreadManagerOptions& options) {
  const int on_cores = std::min(budget.threads, budget.cores);
  if (which == Threads::half_the_cores) return (on_cores + 1) / 2;
  return options.may_share_cores ? budget.threads : on_cores;
}

bool holds(When when, int threads, const CpuBudget& budget, double foreign_cpus) {
  if (when == When::never) return false;
  if (budget.quota && threads > budget.quota->cpus) return false;
  if (foreign_cpus >= kForeignIdle && threads + foreign_cpus > static_cast<double>(budget.cpus.size()))
    return false;
  return when == When::unless_over_budget || (!budget.quota && foreign_cpus < kForeignIdle);
}

// Of pinned threads one of the first processors of the budget for each. Others may go to any core, so that
// one that somebody else keeps busy holds none of them up; to a second processor of a core only where they
// are more than cores.
std::vector<CpuSet> places(int threads, const CpuBudget& budget, bool pinned) {
  std::vector<CpuSet> each;
  if (pinned) {
    for (int i = 0; i < threads; ++i) each.push_back({budget.cpus[static_cast<size_t>(i)]});
    return each;
  }
  CpuSet all;
  for (int i = 0; i < std::max(threads, budget.cores); ++i) all.add(budget.cpus[static_cast<size_t>(i)]);
  each.assign(static_cast<size_t>(threads), all);
  return each;
}

void check_range(std::string_view field, int found, int least, int most) {
  if (found < least || found > most) {
    fail(ErrorCode::usage, "{}: found {}, expected {} to {}", field, found, least, most);
  }
}

}  // namespace

std::string_view scheduler_policy_name(SchedulerPolicy policy) { return rules(policy).name; }

std::string_view priority_outcome_name(PriorityOutcome outcome) {
  constexpr std::string_view names[] = {"equal", "compute first", "others later"};
  return names[static_cast<size_t>(outcome)];
}

void check_options(const ThreadManagerOptions& options) {
  constexpr int most = ThreadManagerOptions::kMostThreads;
  check_range("num_compute_threads", options.num_compute_threads, 1, most);
  check_range("num_io_threads", options.num_io_threads, 1, most);
  check_range("num_preprocess_threads", options.num_preprocess_threads, 1, most);
  check_range("thread_priority", options.thread_priority, 0, 2);
}

ThreadPlan plan_threads(const ThreadManagerOptions& options, const CpuBudget& budget,
                        const ThreadTarget& target) {
  QVL_CHECK(target.most_compute_threads.value_or(1) >= 1 && target.duty > 0 && target.duty <= 1);
  const PolicyRules& policy = rules(options.policy);
  const int most = most_threads(policy.threads, budget, options);
  ThreadPlan out;
  out.compute_threads =
      std::min({options.num_compute_threads, most, target.most_compute_threads.value_or(most)});
  out.io_threads = options.num_io_threads;
  out.preprocess_threads = std::min(options.num_preprocess_threads, most);
  out.pinned = options.may_pin && holds(policy.pinned, out.compute_threads, budget, target.foreign_cpus);
  out.compute_places = places(out.compute_threads, budget, out.pinned);
  for (int cpu : budget.cpus) out.task_place.add(cpu);
  if (options.may_wait_awake && holds(policy.awake, out.compute_threads, budget, target.foreign_cpus)) {
    out.awake_turns = ThreadPool::kAwakeTurns;
  }
  const double of_policy = options.may_rest ? policy.duty : 1;
  out.duty = std::max(std::min(of_policy, target.duty), DutyCycle::kLeastShare);
  return out;
}

PriorityPlan plan_priorities(const ThreadManagerOptions& options, int own, RaiseRight right) {
  const int ahead = kNicePerPriority * options.thread_priority;
  const int task = own + rules(options.policy).nice, compute = task - ahead;
  const auto possible = [](int nice) { return std::clamp(nice, -20, 19); };
  if (ahead == 0) return {possible(compute), possible(task), PriorityOutcome::equal};
  if (compute >= own || right == RaiseRight::granted) {
    return {possible(compute), possible(task), PriorityOutcome::compute_first};
  }
  return {possible(own), possible(own + ahead), PriorityOutcome::others_later};
}

}  // namespace qvl
