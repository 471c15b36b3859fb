// What every request of a loaded checkpoint runs inside: memory under one cap, threads that follow the
// machine, and a record of where the time goes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "memory/memory_home.h"
#include "memory/memory_manager.h"
#include "pipeline/live_adaptation.h"
#include "pipeline/request_gauge.h"
#include "pipeline/run_limits.h"
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
  RunLimits limits = {};
  /// Bytes, in place of the configuration's share; of a later configuration the less of both counts.
  std::optional<uint64_t> memory_limit = {};
  Tracing tracing = Tracing::off;
  SystemFiles files = SystemFiles();  ///< what tells of load, memory and stalls
  SystemMemory* blocks = nullptr;     ///< outlives the layer; null: heap and pages
  std::string model = {};             ///< what qvl monitor calls it
  /// Where qvl monitor finds out what this process is at, while profiling is on; nothing: nowhere.
  std::optional<std::filesystem::path> status_folder = {};
};

/// The memory that both allow. A limit in bytes above what the process may use is told in `warnings`. Where
/// the kernel does not tell what the process may use, the physical memory is taken for it, and a line in
/// `warnings` says so.
MemoryManagerOptions memory_options(const SystemOptimizationConfig& config, const SystemLayerOptions& options,
                                    std::vector<std::string>& warnings);

/// What a configuration and a plan's limits have become, and how things stand.
struct SystemState {
  SystemOptimizationConfig config;  ///< the last one that was applied, with the plan's threads and pool
  RunLimits limits;
  ThreadStatus threads;
  scheduling::Load load;           ///< how busy the machine was when it was last looked at
  MemoryPressure memory_pressure;  ///< the same of memory
  int64_t prefill_chunk = 0;       ///< tokens of a prompt to compute at once for now, at most
  uint64_t feature_bytes = 0;      ///< features of pictures to keep for now, at most
};

/// Thread-compatible, called by the thread whose turn it is to compute; state() and what reads it, memory()
/// and the parts that say so are thread-safe.
class SystemLayer {
 public:
  /// Throws Error{usage} for a configuration out of its range, Error{limit} where the program alone is above
  /// the memory limit.
  SystemLayer(const SystemOptimizationConfig& config, const SystemLayerOptions& options);
  ~SystemLayer();

  /// From now on under another configuration and other limits: threads, memory, sampling. Called between two
  /// steps. Returns what could not be had, a line each. Throws as the constructor, and Error{limit} with what
  /// each part holds where the new memory limit does not hold it; then nothing has changed.
  std::vector<std::string> configure(const SystemOptimizationConfig& config, const RunLimits& limits);

  /// Everything large of the checkpoint and its requests comes from here.
  MemoryManager& memory() { return memory_; }
  const MemoryManager& memory() const { return memory_; }
  MemoryHome home(MemoryPart part) { return {.pool = &memory_.pool(), .part = part}; }
  ThreadManager& threads() { return threads_; }
  ThreadPool& compute() { return threads_.compute(); }
  StageStatistics& stages() { return stages_; }
  Tracer* tracer() { return &tracer_; }
  /// Counts and traces `stage` from now until the zone ends.
  [[nodiscard]] StageZone zone(Stage stage, std::optional<uint64_t> request = std::nullopt) {
    return {stages_, &tracer_, stage, request};
  }
  /// Counts requests for whoever looks on.
  RequestGauge& requests() { return requests_; }
  /// Samples the machine beside the run path, from the start on; null where profiling is off. Thread-safe.
  std::shared_ptr<const SystemProfiler> profiler() const;

  /// Called by the thread that computes between two steps: there threads may change, and caches shrink where
  /// memory has become short. Costs a look at the clock, and half a millisecond twice a second.
  void between_steps();
  /// The same at `now_us` of a clock that does not jump, in microseconds.
  void between_steps(int64_t now_us);
  /// What is computed from now on. Called by the thread whose turn it is.
  void work_is(ThreadManager::Work work) { threads_.work_is(work); }
  /// Called after each request, when its memory is given back. Thread-safe.
  void after_request() noexcept;

  /// How things stood after the last look at the machine. Thread-safe, as are those below, which read it.
  SystemState state() const;
  RunLimits limits() const;
  /// Compute threads, the caller counted.
  int compute_threads() const;
  scheduling::Load load() const;
  /// Prompt tokens to compute at once for now.
  int64_t prefill_chunk(int64_t asked) const;
  /// Features of pictures to keep for now, in bytes.
  uint64_t feature_bytes() const;

  /// What could not be had, a line each.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  void profile(const SystemOptimizationConfig& config, std::vector<std::string>& warnings);
  void stay_in_budget() const;
  void adapt_to(const SystemOptimizationConfig& config, const RunLimits& limits);
  void publish();
  MemoryPressure memory_pressure() const;
  void tell(const std::optional<CleanupReport>& report);

  const SystemLayerOptions options_;
  std::vector<std::string> warnings_;
  MemoryManager memory_;  // outlives what others took from it
  Tracer tracer_;
  StageStatistics stages_;
  ThreadManager threads_;
  std::unique_ptr<LiveAdaptation> adaptation_;
  RequestGauge requests_;
  std::unique_ptr<StatusPublisher> publisher_;
  mutable std::mutex mutex_;  // for what is below
  SystemState state_;
  std::shared_ptr<SystemProfiler> profiler_;
};

}  // namespace qvl
