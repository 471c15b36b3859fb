#include "pipeline/compute_turn.h"

namespace qvl {

bool ComputeQueue::wanted() const {
  const std::lock_guard lock(mutex_);
  return line_.size() > 1;
}

ComputePlace::ComputePlace(ComputeQueue& queue) : queue_(queue) {
  const std::lock_guard lock(queue_.mutex_);
  place_ = queue_.line_.insert(queue_.line_.end(), ComputeQueue::Waiting());
}

ComputePlace::~ComputePlace() {
  const std::lock_guard lock(queue_.mutex_);
  queue_.line_.erase(place_);
  queue_.moved_.notify_all();
}

bool ComputePlace::wait(std::optional<std::chrono::steady_clock::time_point> then) {
  std::unique_lock lock(queue_.mutex_);
  const auto first = [this] { return is_first(); };
  if (then) return queue_.moved_.wait_until(lock, *then, first);
  queue_.moved_.wait(lock, first);
  return true;
}

}  // namespace qvl
