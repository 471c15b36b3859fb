// A fork-join pool for compute.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace qvl {

/// Processors this process may use: its affinity mask, capped by the CPU quota of every enclosing cgroup (v1
/// and v2), at least 1.
int cpu_budget();

/// A fixed set of threads that run one parallel loop at a time. Thread-compatible: one caller at a time.
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
  /// Returns when all blocks are done.
  void parallel_for(size_t count, size_t grain, const std::function<void(size_t, size_t, int)>& body);

 private:
  struct Loop;
  void work(int worker);

  std::mutex mutex_;
  std::condition_variable start_, done_;
  Loop* loop_ = nullptr;
  uint64_t generation_ = 0;
  int busy_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace qvl
