// Where the thread that calls parallel loops runs while it does, and putting it back.
#pragma once

#include <optional>

#include "threads/os_thread.h"

namespace qvl {

/// For the thread that makes it, which belongs to somebody else: everything is as it was when this ends. Ends
/// before the thread does; thread-compatible.
class CallerPlacement {
 public:
  CallerPlacement();
  ~CallerPlacement();
  CallerPlacement(const CallerPlacement&) = delete;
  CallerPlacement& operator=(const CallerPlacement&) = delete;

  /// Whether the kernel did it.
  bool place(const CpuSet& cpus);
  /// Whether the kernel did all of it. Less urgent only where that can be undone: a process may always lower
  /// its threads, but not every one may raise them again. Otherwise the thread stays as urgent as it is.
  bool prioritise(const OsPriority& priority);

  /// Where somebody else has put the thread since place(), which is then where it belongs in the end. Nothing
  /// where it is in its place.
  std::optional<CpuSet> moved_to() const;
  /// From now on the thread goes to `cpus` (not empty) when this ends.
  void return_to(const CpuSet& cpus) { affinity_ = cpus; }

 private:
  const ThreadId thread_;
  CpuSet affinity_;
  const OsPriority priority_;
  const bool may_raise_;
  std::optional<CpuSet> place_;
};

}  // namespace qvl
