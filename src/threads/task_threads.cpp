#include "threads/task_threads.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "threads/os_thread.h"
#include "threads/topology.h"

namespace qvl {
namespace {

CpuBudget budget_for(const ThreadManagerOptions& options, const SystemFiles& files) {
  check_options(options);
  CpuSet affinity = this_thread_affinity();
  const Topology topology = read_topology(files, affinity);
  if (const auto cpuset = read_cpuset(files); cpuset && !(affinity & *cpuset).empty()) {
    affinity = affinity & *cpuset;
  }
  return make_cpu_budget(topology, masked_affinity(affinity, options.cpu_affinity_mask),
                         read_cpu_quota(files));
}

}  // namespace

std::string_view task_kind_name(TaskKind kind) {
  constexpr std::string_view kNames[] = {"compute", "io", "preprocess"};
  return kNames[static_cast<size_t>(kind)];
}

TaskThreads::TaskThreads(const ThreadManagerOptions& options, const SystemFiles& files,
                         const StartThread& start_thread)
    : budget_(budget_for(options, files)) {
  const ThreadPlan plan = plan_threads(options, budget_, {});
  start(TaskKind::compute, plan.compute_threads, start_thread);
  start(TaskKind::io, plan.io_threads, start_thread);
  start(TaskKind::preprocess, plan.preprocess_threads, start_thread);
  const PriorityPlan priority =
      plan_priorities(options, thread_priority(this_thread_id()).nice,
                      may_raise_priority() ? RaiseRight::granted : RaiseRight::missing);
  for (TaskKind kind : kTaskKinds) {
    apply(kind, plan.task_place, kind == TaskKind::compute ? priority.compute_nice : priority.task_nice);
  }
}

void TaskThreads::start(TaskKind kind, int threads, const StartThread& start) {
  auto& pool = pools_[static_cast<size_t>(kind)];
  pool = std::make_unique<TaskPool>(TaskPoolOptions{.name = std::string(task_kind_name(kind)),
                                                    .threads = threads,
                                                    .queue_limit = kMostWaiting,
                                                    .start = start});
  if (const int found = pool->status().threads; found < threads) {
    problems_.push_back(fmt::format("{} pool: {} of {} threads, the system refused another: {}",
                                    task_kind_name(kind), found, threads, pool->problem()));
  }
}

void TaskThreads::apply(TaskKind kind, const CpuSet& place, int nice) {
  const OsPriority priority{.nice = nice, .os_class = thread_priority(this_thread_id()).os_class};
  const int unplaced = pool(kind).place({place});
  const int unprioritised = pool(kind).prioritise(priority);
  if (unplaced + unprioritised == 0) return;
  problems_.push_back(fmt::format("{} pool: threads the kernel did not place: {}, did not prioritise: {}",
                                  task_kind_name(kind), unplaced, unprioritised));
}

void TaskThreads::close(Shutdown how) {
  for (auto& pool : pools_) pool->close(how);
}

void TaskThreads::shutdown(Shutdown how) {
  close(how);
  for (auto& pool : pools_) pool->shutdown(how);
}

bool TaskThreads::wait_idle(std::chrono::milliseconds most) const {
  return std::all_of(pools_.begin(), pools_.end(),
                     [most](const auto& pool) { return pool->wait_idle(most); });
}

}  // namespace qvl
