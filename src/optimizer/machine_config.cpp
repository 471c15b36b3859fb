#include "optimizer/machine_config.h"

#include <algorithm>

#include "memory/memory_limit.h"
#include "memory/memory_size.h"

namespace qvl {

SystemOptimizationConfig config_for(const HardwareFacts& hardware) {
  // Of the usable memory; what is kept for reuse is missing elsewhere.
  constexpr int64_t kPoolShare = 32;
  SystemOptimizationConfig config;
  // The most there may be: a quota of this moment must not hold for good.
  config.num_compute_threads = std::clamp(hardware.cores(), 1, 1024);
  config.num_preprocess_threads =
      std::clamp(static_cast<int64_t>(hardware.cpus.size()), int64_t{1}, config.num_preprocess_threads);
  config.memory_pool_size =
      std::min(config.memory_pool_size, static_cast<int64_t>(hardware.usable_memory() / kPoolShare));
  return config;
}

SystemOptimizationConfig SystemOptimizationConfig::for_this_machine() {
  return config_for(read_hardware(SystemFiles()));
}

uint64_t memory_limit_from_text(std::string_view text, std::string_view name) {
  // As for a share in the configuration, so that none is more than there is.
  return parse_memory_limit(text, name, memory_limit(SystemFiles()).bytes);
}

}  // namespace qvl
