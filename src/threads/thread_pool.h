// A fork-join pool for compute.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/function_ref.h"
#include "threads/duty_cycle.h"
#include "threads/thread_group.h"

namespace qvl {

/// Threads that run one parallel loop at a time; the caller of a loop is worker 0 and computes too.
/// Thread-compatible: one caller at a time, and everything but parallel_for is called between loops.
class ThreadPool {
 public:
  /// About 20 microseconds: as long as the steps between two products of one token take.
  static constexpr int kAwakeTurns = 1500;

  /// `threads` >= 1 workers in all, the caller counted. Starts with fewer where the system refuses one:
  /// problem().
  explicit ThreadPool(int threads, StartThread start = start_thread);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return group_.size() + 1; }

  /// Calls body(begin, end, worker) until [0, count) is covered, in blocks of at most `grain`; worker is in
  /// [0, size()). Blocks are claimed, so that one slow thread does not stall the rest. `body` must not throw.
  /// Returns when all blocks are done, and the rest of the duty cycle is over; does not wait for threads that
  /// claimed none. Allocates nothing.
  using Body = FunctionRef<void(size_t, size_t, int)>;
  void parallel_for(size_t count, size_t grain, Body body);

  /// Goes to `threads` >= 1 workers, the caller counted. Returns size(): less where the system refuses a
  /// thread.
  int resize(int threads);
  /// Why the system refused the last thread that it refused; empty where it never did.
  const std::string& problem() const { return group_.problem(); }

  /// How often (>= 0) a waiting thread looks for work before it sleeps. 0 where other programs need the
  /// processors: waiting awake then takes from them, and from the own quota.
  void set_awake_turns(int turns);
  int awake_turns() const { return awake_turns_.load(std::memory_order_relaxed); }

  /// Loops take this share of the time, in [DutyCycle::kLeastShare, 1]; between them the caller sleeps.
  void set_duty(double share) { duty_ = DutyCycle(share); }
  double duty() const { return duty_.share(); }
  /// How long the duty cycle has slept so far.
  std::chrono::nanoseconds rested() const { return rested_; }

  /// Worker w > 0 runs on places[w] from now on, those behind the last one from the second again; threads
  /// that start later too. places[0] is for the caller, whose thread this pool does not own
  /// (caller_placement.h). Returns how many workers the kernel did not place.
  int place(std::span<const CpuSet> places);
  /// The same for priority: all workers but the caller.
  int prioritise(const OsPriority& priority) { return group_.prioritise(priority); }
  /// Where somebody else has put one of the placed workers.
  std::optional<CpuSet> moved_to() const { return group_.moved_to(); }

 private:
  struct Loop;
  explicit ThreadPool(StartThread start);
  void run(size_t count, size_t grain, Body body);
  void work(int worker, uint32_t seen);
  // Enters the loop at hand; false where there is none any more.
  bool enter();
  void leave();
  void announce();
  template <typename Value>
  Value wait_for_change(const std::atomic<Value>& value, Value old) const;

  alignas(64) std::atomic<uint32_t> generation_{0};  // changes with every loop, and when workers shall end
  alignas(64) std::atomic<uint32_t> gate_{0};
  Loop* loop_ = nullptr;         // valid for those inside the gate
  std::atomic<int> workers_{1};  // workers from this one on end
  std::atomic<int> awake_turns_{kAwakeTurns};
  DutyCycle duty_;
  std::chrono::nanoseconds rested_{0};
  ThreadGroup group_;  // member i is worker i + 1
};

}  // namespace qvl
