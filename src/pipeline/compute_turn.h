// Who computes on a model: one at a time, in the order in which they came.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "threads/thread_manager.h"

namespace qvl {

/// A lock that is fair: who came first is next. Thread-safe.
class ComputeQueue {
 public:
  void enter();
  void leave();
  /// Whether somebody waits.
  bool wanted() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable next_;
  uint64_t taken_ = 0, served_ = 0;  // tickets
};

/// While it lives, the calling thread is the one that computes, placed and prioritised as such. Ends on the
/// same thread.
class ComputeTurn {
 public:
  /// Waits for its turn.
  ComputeTurn(ComputeQueue& queue, ThreadManager& threads) : entry_(queue), placed_(threads) {}

 private:
  struct Entry {
    explicit Entry(ComputeQueue& entered) : queue(entered) { queue.enter(); }
    ~Entry() { queue.leave(); }
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    ComputeQueue& queue;
  };
  Entry entry_;
  ThreadManager::CallerGuard placed_;
};

}  // namespace qvl
