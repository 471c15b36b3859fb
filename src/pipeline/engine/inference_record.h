// What became of the requests of a pipeline, in numbers.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>

#include "profiler/energy.h"
#include "qvl/pipeline.h"

namespace qvl {

/// Sums over the life of a pipeline. Thread-safe.
class InferenceRecord {
 public:
  enum class End { answered, cancelled, overdue, failed };

  /// Counts from now on. `files`: what tells of energy.
  explicit InferenceRecord(SystemFiles files = SystemFiles()) : energy_(std::move(files)) {}

  void submitted(int64_t now_ns);
  struct Ended {
    End end;
    int64_t now_ns;
    double seconds = 0;  ///< since it was submitted
    double first_token_s = 0;
    int64_t tokens = 0;
    int64_t prompt_tokens = 0, cached_tokens = 0;  ///< >= 0
    std::optional<double> memory_percent = {};
  };
  void ended(const Ended& request);
  /// A step was computed; the engine had nothing but preparations to wait for. Nanoseconds, >= 0.
  void computed(int64_t ns);
  void waited_for_preparation(int64_t ns);
  /// A step had so many tokens guessed ahead, of which `accepted` were right.
  void guessed(uint64_t tokens, uint64_t accepted);

  /// Everything but what is the model's: stages, caches, GPUs and report.
  PerformanceMetrics metrics() const;

 private:
  mutable std::mutex mutex_;
  std::optional<int64_t> first_submit_ns_;
  int64_t last_end_ns_ = 0;
  uint64_t answered_ = 0, cancelled_ = 0, overdue_ = 0, failed_ = 0, memory_samples_ = 0;
  double sum_s_ = 0, least_s_ = 0, most_s_ = 0, first_token_sum_s_ = 0, memory_sum_percent_ = 0;
  int64_t tokens_ = 0, compute_ns_ = 0, preparation_wait_ns_ = 0;
  uint64_t prompt_tokens_ = 0, cached_tokens_ = 0, guessed_tokens_ = 0, accepted_tokens_ = 0;
  mutable EnergyMeter energy_;  // read anew by whoever asks
};

}  // namespace qvl
