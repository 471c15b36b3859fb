#include "profiler/memory_use.h"

#include "profiler/fields.h"

namespace qvl {

MemoryUse read_memory_use(const SystemFiles& files) {
  MemoryUse out;
  if (const auto machine = files.read("/proc/meminfo")) {
    out.total_bytes = kilobyte_field(*machine, "MemTotal:");
    out.available_bytes = kilobyte_field(*machine, "MemAvailable:");
    out.swap_total_bytes = kilobyte_field(*machine, "SwapTotal:");
    out.swap_free_bytes = kilobyte_field(*machine, "SwapFree:");
  }
  if (const auto own = files.read("/proc/self/status")) {
    out.rss_bytes = kilobyte_field(*own, "VmRSS:");
    out.swapped_bytes = kilobyte_field(*own, "VmSwap:");
  }
  return out;
}

std::optional<uint64_t> read_pss_bytes(const SystemFiles& files) {
  const auto text = files.read("/proc/self/smaps_rollup");
  return text ? kilobyte_field(*text, "Pss:") : std::nullopt;
}

}  // namespace qvl
