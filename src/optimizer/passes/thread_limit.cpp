#include "optimizer/passes/thread_limit.h"

#include <algorithm>
#include <cmath>

namespace qvl {

int granted_threads(const PlanInputs& inputs, int available) {
  auto threads = std::min<int64_t>(available, inputs.config.num_compute_threads);
  if (const auto quota = inputs.hardware.cpu_quota) {
    threads = std::min(threads, static_cast<int64_t>(std::ceil(*quota)));
  }
  if (inputs.config.scheduler_policy == SchedulerPolicy::power_save) threads = (threads + 1) / 2;
  return static_cast<int>(std::max<int64_t>(threads, 1));
}

}  // namespace qvl
