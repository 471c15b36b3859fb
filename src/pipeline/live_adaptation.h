// Threads follow what else happens on the machine, between the steps of the run path.
#pragma once

#include <cstdint>
#include <optional>

#include "base/system_files.h"
#include "memory/cleaner.h"
#include "memory/ledger.h"
#include "pipeline/run_limits.h"
#include "profiler/cpu_load.h"
#include "profiler/sample.h"
#include "profiler/tracer.h"
#include "qvl/system_config.h"
#include "scheduler/control_loop.h"
#include "scheduler/request.h"
#include "threads/thread_manager.h"

namespace qvl {

/// Where signals come from. Borrowed for a call.
struct SignalSources {
  const CpuBudget& budget;
  const std::optional<CpuLoad>& load;  ///< since the last update
  const SystemFiles& files;
  /// The sampler's latest where it is fresh, or null. Heat and power are taken from it where it has them:
  /// reading them takes milliseconds on a laptop, whose controller is asked. Otherwise they are read.
  const Sample* sample = nullptr;
  const Ledger* ledger = nullptr;  ///< null: of no memory cap
};

/// What the control loop is told of the machine: how busy the processors of the budget are and with whom,
/// stalls, memory, heat, power.
scheduling::Signals signals_of(const SignalSources& sources, int64_t now_us);

/// How short memory is: of this process's group where the kernel tells, else of the machine.
MemoryPressure memory_pressure_of(const SystemFiles& files);

/// Reads the machine, asks the control loop, and sets the threads. Thread-compatible: called by the thread
/// that computes, between two steps.
class LiveAdaptation {
 public:
  /// How long between two looks at the machine.
  static constexpr int64_t kInterval_us = 500'000;

  struct Options {
    const SystemOptimizationConfig& config;
    RunLimits limits = {};
    SystemFiles files = SystemFiles();
    Tracer* tracer = nullptr;        ///< outlives it; null: nobody is told
    const Ledger* ledger = nullptr;  ///< outlives it; null: nothing is told of it
  };
  /// Borrows `threads`.
  LiveAdaptation(const Options& options, ThreadManager& threads);

  /// Does nothing before kInterval_us have passed since it last did something. Without dynamic adjustment a
  /// changed budget alone is followed. `sample`: see SignalSources. Whether it looked at the machine's load
  /// and memory.
  bool update(int64_t now_us, const Sample* sample = nullptr);

  /// Prompt tokens to compute at once for now, at most.
  int64_t prefill_chunk() const { return prefill_chunk_; }
  /// Features of pictures to keep for now, at most.
  uint64_t feature_bytes() const { return feature_bytes_; }
  /// How busy the machine was when it was last looked at; of memory's bandwidth nothing is known.
  const scheduling::Load& load() const { return load_; }
  /// As it was found the last time; nothing is told without dynamic adjustment.
  const MemoryPressure& memory_pressure() const { return memory_pressure_; }
  /// What was changed since the start, the latest last; as many as the control loop keeps.
  const std::deque<scheduling::Change>& changes() const { return loop_.changes(); }

 private:
  void adjust(const scheduling::Signals& signals);
  void tell(std::string_view what);

  const bool dynamic_;
  ThreadManager& threads_;
  SystemFiles files_;
  Tracer* tracer_;
  const Ledger* ledger_;
  scheduling::ControlLoop loop_;
  std::optional<CpuCounters> last_;
  std::optional<int64_t> next_us_;
  int64_t prefill_chunk_;
  uint64_t feature_bytes_;
  scheduling::Load load_;
  MemoryPressure memory_pressure_;
};

}  // namespace qvl
