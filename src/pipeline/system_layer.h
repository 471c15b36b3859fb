// What every request of a loaded checkpoint runs inside: memory under one cap, threads that follow the
// machine, and a record of where the time goes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "memory/memory_home.h"
#include "memory/memory_manager.h"
#include "pipeline/live_adaptation.h"
#include "pipeline/request_gauge.h"
#include "pipeline/status_publisher.h"
#include "profiler/stage_statistics.h"
#include "profiler/system_profiler.h"
#include "profiler/tracer.h"
#include "qvl/system_config.h"
#include "threads/thread_manager.h"

namespace qvl {

/// Whether a trace is recorded from the start.
enum class Tracing { off, on };

struct SystemLayerOptions {
  std::optional<uint64_t> memory_limit = {};  ///< bytes, in place of the configuration's share
  Tracing tracing = Tracing::off;
  SystemFiles files = SystemFiles();  ///< what tells of load, memory and stalls
  SystemMemory* blocks = nullptr;     ///< outlives the layer; null: heap and pages
  std::string model = {};             ///< what qvl monitor calls it
  /// Where qvl monitor finds out what this process is at, while profiling is on; nothing: nowhere.
  std::optional<std::filesystem::path> status_folder = {};
};

/// The memory that both allow. Where the kernel does not tell what the process may use, the physical memory
/// is taken for it, and a line in `warnings` says so.
MemoryManagerOptions memory_options(const SystemOptimizationConfig& config, const SystemLayerOptions& options,
                                    std::vector<std::string>& warnings);

/// Thread-compatible, but for what its parts say of themselves.
class SystemLayer {
 public:
  /// Throws Error{usage} for a configuration out of its range, Error{limit} where the program alone is above
  /// the memory limit.
  SystemLayer(const SystemOptimizationConfig& config, const SystemLayerOptions& options);

  /// Everything large of the checkpoint and its requests comes from here.
  MemoryManager& memory() { return memory_; }
  MemoryHome home(MemoryPart part) { return {.pool = &memory_.pool(), .part = part}; }
  ThreadManager& threads() { return threads_; }
  ThreadPool& compute() { return threads_.compute(); }
  StageStatistics& stages() { return stages_; }
  Tracer* tracer() { return &tracer_; }
  /// Counts requests for whoever looks on.
  RequestGauge& requests() { return requests_; }
  /// Samples the machine beside the run path, from the start on; null where profiling is off.
  const SystemProfiler* profiler() const { return profiler_.get(); }

  /// Called by the thread that computes between two steps: there threads may change, and caches shrink where
  /// memory has become short. Costs a look at the clock, and half a millisecond twice a second.
  void between_steps();
  /// Called after each request, when its memory is given back.
  void after_request() noexcept;
  /// Prompt tokens to compute at once for now.
  int64_t prefill_chunk(int64_t asked) const { return adaptation_.prefill_chunk(asked); }
  /// How busy the machine was when it was last looked at.
  const scheduling::Load& load() const { return adaptation_.load(); }
  /// What could not be had, a line each.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  void start_profiling(const SystemLayerOptions& options);
  void tell(const std::optional<CleanupReport>& report);

  std::vector<std::string> warnings_;
  MemoryManager memory_;  // outlives what others took from it
  Tracer tracer_;
  StageStatistics stages_;
  ThreadManager threads_;
  LiveAdaptation adaptation_;
  RequestGauge requests_;
  std::unique_ptr<StatusPublisher> publisher_;
  std::unique_ptr<SystemProfiler> profiler_;  // its thread ends first
};

}  // namespace qvl
