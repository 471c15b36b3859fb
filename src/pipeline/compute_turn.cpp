#include "pipeline/compute_turn.h"

namespace qvl {

void ComputeQueue::enter() {
  std::unique_lock lock(mutex_);
  const uint64_t ticket = taken_++;
  next_.wait(lock, [&] { return served_ == ticket; });
}

void ComputeQueue::leave() {
  const std::lock_guard lock(mutex_);
  ++served_;
  next_.notify_all();
}

bool ComputeQueue::wanted() const {
  const std::lock_guard lock(mutex_);
  return taken_ > served_ + 1;
}

}  // namespace qvl
