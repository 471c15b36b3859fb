// How long the stages of requests take: a histogram for each, filled from any thread without a lock.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/json.h"
#include "profiler/tracer.h"

namespace qvl {

/// The stages of a request, in the order in which it passes them. `queue` is the wait before it is admitted;
/// a `step` is one of a model that is not ours.
enum class Stage { queue, read, decode_picture, resize, tokenise, vision, prefill, decode, sampling, step };
constexpr size_t kStages = 10;

/// As traces and JSON call it.
StaticName stage_name(Stage stage);

/// What a histogram holds. Times in nanoseconds; percentiles are within 3.2 % of a value that was added, the
/// rest is exact. All but `count` are 0 where nothing was added.
struct DurationSummary {
  uint64_t count = 0;
  int64_t min_ns = 0, max_ns = 0;
  double mean_ns = 0;
  int64_t p50_ns = 0, p90_ns = 0, p99_ns = 0;
};

/// So many durations were at least `from_ns` and less than `below_ns`.
struct DurationBucket {
  int64_t from_ns = 0;
  uint64_t below_ns = 0;  ///< 2^63 for the last one
  uint64_t count = 0;
};

/// What a histogram held at one moment: 16 buckets for each power of two, from 1 ns to 2^63 ns. Plain data of
/// 7.7 KB.
struct DurationCounts {
  static constexpr size_t kBuckets = 960;
  std::array<uint64_t, kBuckets> buckets{};
  uint64_t sum_ns = 0;
  int64_t min_ns = INT64_MAX, max_ns = 0;

  /// What was added since `before`, an earlier moment of the same histogram. The least and the largest are
  /// those of their buckets then, within 3.2 %, where those before were smaller or larger.
  DurationCounts since(const DurationCounts& before) const;
  DurationSummary summary() const;
  /// Those that hold something, the shortest durations first.
  std::vector<DurationBucket> filled() const;
};

/// Durations in the buckets of DurationCounts. Thread-safe: adding takes no lock and never waits; counts
/// taken meanwhile have a part of what is added.
class DurationHistogram {
 public:
  /// A negative duration counts as 0.
  void add(int64_t duration_ns);
  DurationCounts counts() const;
  DurationSummary summary() const { return counts().summary(); }

 private:
  std::array<std::atomic<uint64_t>, DurationCounts::kBuckets> buckets_{};
  std::atomic<uint64_t> sum_ns_{0};
  std::atomic<int64_t> min_ns_{INT64_MAX};
  std::atomic<int64_t> max_ns_{0};
};

/// Of each stage.
using StageCounts = std::array<DurationCounts, kStages>;

/// Thread-safe, as its histograms.
class StageStatistics {
 public:
  void add(Stage stage, int64_t duration_ns) { histograms_[static_cast<size_t>(stage)].add(duration_ns); }
  DurationSummary summary(Stage stage) const { return histograms_[static_cast<size_t>(stage)].summary(); }
  StageCounts counts() const;
  /// {"vision": {count, min_ms, mean_ms, p50_ms, p90_ms, p99_ms, max_ms}, ...}; a stage that never ran has
  /// count alone.
  OrderedJson to_json() const;

 private:
  std::array<DurationHistogram, kStages> histograms_;
};

/// Measures its own lifetime for the statistics, and for the trace where that is on.
class StageZone {
 public:
  StageZone(StageStatistics& statistics, Tracer* tracer, Stage stage,
            std::optional<uint64_t> request = std::nullopt)
      : statistics_(statistics), tracer_(tracer), stage_(stage), request_(request), begin_ns_(steady_ns()) {}
  ~StageZone() {
    const int64_t end_ns = steady_ns();
    statistics_.add(stage_, end_ns - begin_ns_);
    if (tracer_ != nullptr) tracer_->zone(stage_name(stage_), begin_ns_, end_ns, request_);
  }
  StageZone(const StageZone&) = delete;
  StageZone& operator=(const StageZone&) = delete;

 private:
  StageStatistics& statistics_;
  Tracer* tracer_;
  Stage stage_;
  std::optional<uint64_t> request_;
  int64_t begin_ns_;
};

}  // namespace qvl
