// How many processors other programs want, told from how many they and we got.
#pragma once

#include <cstdint>

#include "scheduler/hysteresis.h"

namespace qvl::scheduling {

/// Processor time since the last sample, in permille of one processor, on those this process may run on.
struct CpuShares {
  int cpus = 1;
  int threads = 1;  ///< of ours that compute
  int own_permille = 0;
  int foreign_permille = 0;
};

/// What the other programs would use if we were not there, in permille of a processor, at most all of `cpus`.
///
/// A share that was used is no demand: a busy program beside our thread on the same processor is seen with
/// half a processor. While it fits beside our threads (foreign <= cpus - threads), it has all it wants. What
/// it uses beyond that it uses on processors we share with it, and the kernel's fair scheduler gives each as
/// much as the other: we hold as much back from it as it got there, but never more than we used ourselves.
/// With D busy programs and t <= cpus threads of ours it got D - (D + t - cpus) / 2, from which this finds D
/// again.
int foreign_demand_permille(const CpuShares& shares);

/// The demand as a number of busy programs, followed with hysteresis: it counts one more from 70 % of a
/// further processor on, held for a second, and one less below 30 %, held for two. Thread-compatible.
class ForeignLoad {
 public:
  void update(int demand_permille, int64_t now_us);
  int busy_programs() const { return busy_; }
  /// Whether other programs use so much that a thread that waits awake takes time from them.
  bool noticeable() const { return noticeable_; }

 private:
  static constexpr DwellTimes kTimes{.up_us = 1'000'000, .down_us = 2'000'000};
  Dwell dwell_{kTimes}, noticeable_dwell_{kTimes};
  int busy_ = 0;
  bool noticeable_ = false;
};

}  // namespace qvl::scheduling
