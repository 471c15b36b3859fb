// Tells qvl monitor once a second what a loaded checkpoint is at.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "memory/ledger.h"
#include "pipeline/request_gauge.h"
#include "pipeline/run_status.h"
#include "profiler/sample.h"
#include "profiler/stage_statistics.h"

namespace qvl {

/// What a status is made of; all of it outlives the publisher and may be read from any thread.
struct StatusSources {
  const Ledger& ledger;
  const StageStatistics& stages;
  const RequestGauge& requests;
};

/// Thread-compatible: called by the profiler's thread.
class StatusPublisher {
 public:
  StatusPublisher(const std::filesystem::path& folder, std::string model, const StatusSources& sources);

  /// Publishes with the first sample, then with any that is a second later.
  void take(const Sample& sample);

 private:
  RunStatus status(int64_t time_ns) const;

  std::string model_;
  StatusSources sources_;
  uint32_t pid_;
  uint64_t start_ticks_;
  int64_t begin_ns_;
  std::optional<int64_t> last_ns_;
  RunStatusFile file_;
};

}  // namespace qvl
