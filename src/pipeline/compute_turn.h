// Who computes on a model: one at a time, in the order in which they came.
#pragma once

#include <chrono>
#include <condition_variable>
#include <list>
#include <mutex>
#include <optional>

#include "threads/thread_manager.h"

namespace qvl {

/// A lock that is fair: who came first is next. Thread-safe.
class ComputeQueue {
 public:
  /// Whether somebody waits.
  bool wanted() const;

 private:
  friend class ComputePlace;
  struct Waiting {};
  using Line = std::list<Waiting>;

  mutable std::mutex mutex_;
  std::condition_variable moved_;
  Line line_;  // the first one has the turn
};

/// A place in that line, until it ends: it may be given up before its turn. Thread-compatible; outlived by
/// the queue.
class ComputePlace {
 public:
  explicit ComputePlace(ComputeQueue& queue);
  ~ComputePlace();
  ComputePlace(const ComputePlace&) = delete;
  ComputePlace& operator=(const ComputePlace&) = delete;

  /// Waits for its turn, until `then` at most where that is given, and tells whether it has it.
  bool wait(std::optional<std::chrono::steady_clock::time_point> then = {});

 private:
  bool is_first() const { return place_ == queue_.line_.begin(); }

  ComputeQueue& queue_;
  ComputeQueue::Line::iterator place_;
};

/// While it lives, the calling thread is the one that computes, placed and prioritised as such. Ends on the
/// same thread.
class ComputeTurn {
 public:
  /// Waits for its turn.
  ComputeTurn(ComputeQueue& queue, ThreadManager& threads) : turn_(queue), placed_(threads) {}

 private:
  struct Turn : ComputePlace {
    explicit Turn(ComputeQueue& queue) : ComputePlace(queue) { (void)wait(); }
  };
  Turn turn_;
  ThreadManager::CallerGuard placed_;
};

}  // namespace qvl
