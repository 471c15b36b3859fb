// Three pools of tasks for programs that bring callables of their own, within what they may use of the
// machine.
#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/system_files.h"
#include "threads/cpu_budget.h"
#include "threads/task_pool.h"
#include "threads/thread_policy.h"

namespace qvl {

enum class TaskKind { compute, io, preprocess };
inline constexpr std::array kTaskKinds = {TaskKind::compute, TaskKind::io, TaskKind::preprocess};
std::string_view task_kind_name(TaskKind kind);

/// Pools sized, placed and prioritised by the policy, once at the start. Unlike a ThreadManager it has no
/// parallel loops: each task is one callable, of those that compute too. No thread is pinned to one
/// processor, since threads that a callable starts would inherit that. Thread-safe.
class TaskThreads {
 public:
  /// Most tasks that wait in each pool.
  static constexpr size_t kMostWaiting = 1024;

  /// Throws Error{usage} for options out of range or a mask without a usable processor, Error{environment}
  /// where a pool gets no thread. With fewer threads than granted it works: problems().
  explicit TaskThreads(const ThreadManagerOptions& options, const SystemFiles& files = SystemFiles(),
                       const StartThread& start = start_thread);

  TaskPool& pool(TaskKind kind) { return *pools_[static_cast<size_t>(kind)]; }
  const TaskPool& pool(TaskKind kind) const { return *pools_[static_cast<size_t>(kind)]; }
  const CpuBudget& budget() const { return budget_; }
  /// What the system refused at the start.
  const std::vector<std::string>& problems() const { return problems_; }

  /// As those of a TaskPool, for all three.
  void close(Shutdown how);
  void shutdown(Shutdown how);
  /// Waits at most so long for each of the pools.
  bool wait_idle(std::chrono::milliseconds most) const;

 private:
  void start(TaskKind kind, int threads, const StartThread& start);
  void apply(TaskKind kind, const CpuSet& place, int nice);

  CpuBudget budget_;
  std::array<std::unique_ptr<TaskPool>, kTaskKinds.size()> pools_;
  std::vector<std::string> problems_;
};

}  // namespace qvl
