// What a history of samples was on average.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/json.h"
#include "profiler/sample.h"

namespace qvl {

/// Means over the samples that tell the value; empty where none does. The first sample has no load of
/// processors.
struct SampleAverages {
  size_t samples = 0;
  double span_s = 0;                                              ///< from the first sample to the last
  std::optional<double> busy_cpus{}, own_cpus{}, foreign_cpus{};  ///< in processors
  std::optional<double> rss_bytes{}, available_bytes{};
  std::optional<double> gpu_memory_used_bytes{};  ///< of all GPUs together, whoever has it
  std::optional<double> gpu_memory_own_bytes{};  ///< of these, what the driver says the process `own_pid` has
};

/// Oldest first. Thread-safe.
SampleAverages averages_of(std::span<const std::shared_ptr<const Sample>> history, uint32_t own_pid);

/// The names above; what is not known has no key.
OrderedJson to_json(const SampleAverages& averages);

}  // namespace qvl
