// Samples the machine at a set interval into a bounded history, beside the run path and never in it.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/system_files.h"
#include "profiler/sample.h"
#include "profiler/system_reader.h"

namespace qvl {

struct ProfilerOptions {
  double interval_s = 1.0;     ///< 0.01 to 3600; rates are over 50 ms at least
  bool profile_memory = true;  ///< see SampleScope
  bool profile_compute = true;
  size_t history = 600;            ///< most samples kept, 1 to 100,000
  size_t history_bytes = 8 << 20;  ///< most bytes they take, at least 4,096; the latest is always kept
};

/// What profiling costs.
struct ProfilerCost {
  uint64_t samples = 0;
  uint64_t failed = 0;   ///< samples that memory was missing for
  double cpu_s = 0;      ///< processor time for all of them
  double longest_s = 0;  ///< processor time of the most expensive
};

/// Thread-safe. Samples are immutable and shared (a reader keeps what it looks at while the history moves
/// on), so no caller waits for a sample being taken, but those of sample_now().
class SystemProfiler {
 public:
  using SamplePtr = std::shared_ptr<const Sample>;

  /// Takes no sample yet. Throws Error{usage} for an option out of its range.
  explicit SystemProfiler(const ProfilerOptions& options, SystemFiles files = SystemFiles(),
                          const std::filesystem::path& gpu_library = "libnvidia-ml.so.1");
  SystemProfiler(const ProfilerOptions& options, std::unique_ptr<SampleSource> source);
  ~SystemProfiler();
  SystemProfiler(const SystemProfiler&) = delete;
  SystemProfiler& operator=(const SystemProfiler&) = delete;

  using Listener = std::function<void(const Sample&)>;

  /// Samples from now on, the first time at once, and tells `listener` of each in the profiler's own thread;
  /// it may be empty, and what it throws counts as a failed sample. False where the system refuses a thread;
  /// sample_now() works all the same. Does nothing while running.
  bool start(Listener listener = {});
  /// Ends sampling and waits for a sample under way. Keeps the history. Does nothing where it is not running.
  void stop();
  bool running() const;

  /// Takes a sample in the calling thread and adds it to the history; with or without start().
  SamplePtr sample_now();

  /// Null before the first sample.
  SamplePtr latest() const;
  /// Oldest first.
  std::vector<SamplePtr> history() const;
  ProfilerCost cost() const;

 private:
  struct Kept {
    SamplePtr sample;
    size_t bytes;
  };
  void run(const Listener& listener);
  void keep(SamplePtr sample);
  void count_failure();

  const ProfilerOptions options_;

  std::mutex reading_;  // held while a sample is taken
  std::unique_ptr<SampleSource> source_;

  mutable std::mutex control_;  // held by start, stop and running
  std::thread thread_;

  mutable std::mutex state_;  // held for moments only
  std::condition_variable wake_;
  bool stopping_ = false;
  std::deque<Kept> history_;
  size_t history_bytes_ = 0;
  ProfilerCost cost_;
};

}  // namespace qvl
