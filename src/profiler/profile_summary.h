// A history of samples in a few figures: averages and peaks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/json.h"
#include "profiler/system_profiler.h"

namespace qvl {

/// Of the samples that have the value; nothing where none has it.
struct Extent {
  double mean = 0;
  double most = 0;
};

struct ProfileSummary {
  size_t samples = 0;
  double seconds = 0;                           ///< from the first sample to the last
  std::optional<Extent> cpu_percent{};          ///< of all processors online, busy with anything
  std::optional<Extent> own_cpu_percent{};      ///< with this process
  std::optional<Extent> foreign_cpu_percent{};  ///< with others
  std::optional<Extent> memory_percent{};       ///< of the machine's memory, not available
  std::optional<Extent> rss_bytes{};
  std::optional<Extent> gpu_percent{};           ///< of the busiest GPU of each sample
  std::optional<Extent> gpu_memory_bytes{};      ///< in use, of all GPUs together, whoever has it
  std::optional<Extent> own_gpu_memory_bytes{};  ///< of these, what the driver says the process has
};

/// `history`: oldest first, none of them null; `own_pid`: of the process whose memory on GPUs is told apart.
ProfileSummary summarise(std::span<const SystemProfiler::SamplePtr> history, uint32_t own_pid);

/// {samples, seconds, avg_cpu_percent, max_cpu_percent, ...}: avg_ and max_ of cpu_percent, own_cpu_percent,
/// foreign_cpu_percent, memory_percent, rss_memory_mb, gpu_percent, gpu_memory_allocated_mb,
/// own_gpu_memory_mb (units of 2^20 bytes). What no sample has is null.
OrderedJson to_json(const ProfileSummary& summary);

}  // namespace qvl
