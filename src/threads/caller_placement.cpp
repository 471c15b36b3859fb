#include "threads/caller_placement.h"

namespace qvl {

CallerPlacement::CallerPlacement()
    : thread_(this_thread_id()),
      affinity_(this_thread_affinity()),
      priority_(thread_priority(thread_)),
      may_raise_(may_raise_priority()) {}

CallerPlacement::~CallerPlacement() {
  if (place_) set_thread_affinity(thread_, affinity_);
  set_thread_priority(thread_, priority_);
}

bool CallerPlacement::place(const CpuSet& cpus) {
  if (!set_thread_affinity(thread_, cpus)) return false;
  place_ = thread_affinity(thread_);  // less than was asked where the process may not use all of it
  return true;
}

bool CallerPlacement::prioritise(const OsPriority& priority) {
  OsPriority possible = priority;
  if (!may_raise_ && priority.nice > priority_.nice) possible.nice = priority_.nice;
  return set_thread_priority(thread_, possible) && possible == priority;
}

std::optional<CpuSet> CallerPlacement::moved_to() const {
  if (!place_) return std::nullopt;
  CpuSet now = thread_affinity(thread_);
  if (now.empty() || now == *place_) return std::nullopt;
  return now;
}

}  // namespace qvl
