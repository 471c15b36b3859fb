// What every request of a loaded checkpoint runs inside: threads that follow the machine, and a record of
// where the time goes.
#pragma once

#include <filesystem>

#include "pipeline/live_adaptation.h"
#include "profiler/stage_statistics.h"
#include "profiler/tracer.h"
#include "qvl/system_config.h"
#include "threads/thread_manager.h"

namespace qvl {

/// Thread-compatible, but for what its parts say of themselves.
class SystemLayer {
 public:
  /// Whether a trace is recorded from the start.
  enum class Tracing { off, on };
  /// Throws Error{usage} for a configuration out of its range.
  SystemLayer(const SystemOptimizationConfig& config, Tracing tracing);

  ThreadManager& threads() { return threads_; }
  ThreadPool& compute() { return threads_.compute(); }
  StageStatistics& stages() { return stages_; }
  Tracer* tracer() { return &tracer_; }

  /// Called by the thread that computes between two steps: there threads may change. Costs a look at the
  /// clock, and half a millisecond twice a second.
  void between_steps();
  /// Prompt tokens to compute at once for now.
  int64_t prefill_chunk(int64_t asked) const { return adaptation_.prefill_chunk(asked); }
  /// How busy the machine was when it was last looked at.
  const scheduling::Load& load() const { return adaptation_.load(); }
  uint64_t request_memory_bytes() const;
  std::optional<double> memory_percent() const { return std::nullopt; }

 private:
  Tracer tracer_;
  StageStatistics stages_;
  ThreadManager threads_;
  LiveAdaptation adaptation_;
};

}  // namespace qvl
