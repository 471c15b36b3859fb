// The three pools of the process, within what it may use of the machine, adapted between steps.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/system_files.h"
#include "threads/caller_placement.h"
#include "threads/cpu_budget.h"
#include "threads/task_pool.h"
#include "threads/thread_policy.h"
#include "threads/thread_pool.h"
#include "threads/topology.h"

namespace qvl {

/// What the machine does for a manager; tests hand in another one.
struct ThreadSystem {
  SystemFiles files = SystemFiles();
  StartThread start = start_thread;
};

/// For reports.
struct ThreadStatus {
  enum class Placing {
    pinned,    ///< each compute thread to a processor of its own
    confined,  ///< all to the same set
    refused,   ///< the kernel did not place some of them: problems
  };
  SchedulerPolicy policy = SchedulerPolicy::performance;
  CpuBudget budget;
  int compute_threads = 0;  ///< the caller counted
  int io_threads = 0;
  int preprocess_threads = 0;
  std::vector<CpuSet> compute_places;  ///< the caller first
  Placing placing = Placing::confined;
  PriorityPlan priority;
  int awake_turns = 0;
  double duty = 1;
  std::vector<std::string> problems;  ///< what the system refused when the threads were last changed
};

/// Owns the pools. Thread-compatible: everything is called by the thread that runs the steps, between two
/// steps; the task pools themselves are thread-safe.
class ThreadManager {
 public:
  /// Throws Error{usage} for options out of range or a mask without a usable processor, Error{environment}
  /// where a task pool gets no thread. With fewer threads than granted it works: status().problems.
  explicit ThreadManager(ThreadManagerOptions options, ThreadSystem system = {});

  ThreadPool& compute() { return compute_; }
  /// The queues of the task pools are bounded by kMostWaiting tasks.
  static constexpr size_t kMostWaiting = 1024;
  TaskPool& io() { return io_; }
  TaskPool& preprocess() { return preprocess_; }
  const Topology& topology() const { return topology_; }
  const CpuBudget& budget() const { return budget_; }
  ThreadStatus status() const;

  /// While it lives, the thread that made it is placed and prioritised as compute worker 0; afterwards it is
  /// as before. At most one at a time, on the thread that calls the loops; it ends before the manager.
  class CallerGuard {
   public:
    explicit CallerGuard(ThreadManager& manager);
    ~CallerGuard();
    CallerGuard(const CallerGuard&) = delete;
    CallerGuard& operator=(const CallerGuard&) = delete;

   private:
    ThreadManager& manager_;
  };

  /// Throws as the constructor would for these options; changes nothing.
  void check(const ThreadManagerOptions& options);
  /// From now on under `options`, with what the control loop asked for forgotten. Throws as check(), and
  /// then nothing has changed.
  void configure(ThreadManagerOptions options);

  /// Applies what the control loop asks, within options, budget and policy.
  void adjust(const ThreadTarget& target);

  /// Background work lets others go first (OsPriority::Class::batch). Stays so until it is told otherwise.
  enum class Work { foreground, background };
  void work_is(Work work);

  /// Reads affinity, cpuset, quota and online processors again and adapts to them; cheap enough for twice a
  /// second. Compute threads that were refused are asked for again. Returns "CPU budget: BEFORE -> NOW" where
  /// it has changed. Where nothing of the mask is left the mask is ignored, as the kernel does, and
  /// `budget().cause` says so.
  std::optional<std::string> refresh_budget();

  /// Of the two task pools; afterwards they take no task.
  void shutdown(Shutdown how);

 private:
  // Where this process may run, as far as others decide it.
  CpuSet affinity();
  std::optional<CpuSet> moved_to() const;
  void read_topology_again(const CpuSet& affinity);
  CpuBudget read_budget(const CpuSet& affinity) const;
  void apply();
  void place();
  void prioritise();
  void take_caller();
  void prioritise_caller();
  OsPriority compute_priority() const;

  ThreadManagerOptions options_;
  const ThreadSystem system_;
  CpuSet own_affinity_;   // without our own placing
  CpuSet seen_affinity_;  // of the thread that runs the steps, while it is not placed
  const OsPriority own_priority_;
  PriorityPlan priority_;
  Topology topology_;
  CpuBudget budget_;
  ThreadTarget target_;
  Work work_ = Work::foreground;
  ThreadPlan plan_;
  bool placed_ = true;   // every thread is where it was put
  bool applied_ = true;  // plan_ was carried out to its end
  std::vector<std::string> problems_;
  ThreadPool compute_;
  TaskPool io_, preprocess_;
  std::unique_ptr<CallerPlacement> caller_;
};

}  // namespace qvl
