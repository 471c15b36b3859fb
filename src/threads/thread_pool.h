// A fork-join pool for compute.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "base/function_ref.h"

namespace qvl {

/// A fixed set of threads that run one parallel loop at a time. Between loops that follow closely they wait
/// awake for some microseconds, then they sleep. Thread-compatible: one caller at a time.
class ThreadPool {
 public:
  /// `threads` >= 1 workers in all, the caller counted. Starts with fewer where the system refuses one.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls body(begin, end, worker) until [0, count) is covered, in blocks of at most `grain`; worker is in
  /// [0, size()). Blocks are claimed, so that one slow thread does not stall the rest. `body` must not throw.
  /// Returns when all blocks are done; does not wait for threads that
  /// claimed none. Allocates nothing.
  using Body = FunctionRef<void(size_t, size_t, int)>;
  void parallel_for(size_t count, size_t grain, Body body);

 private:
  struct Loop;
  void work(int worker);
  // Enters the loop at hand; false where there is none any more.
  bool enter();
  void leave();

  // A loop is announced by a new generation; the low bit asks the workers to end.
  alignas(64) std::atomic<uint32_t> generation_{0};
  alignas(64) std::atomic<uint32_t> gate_{0};
  Loop* loop_ = nullptr;  // valid for those inside the gate
  std::vector<std::thread> workers_;
};

}  // namespace qvl
