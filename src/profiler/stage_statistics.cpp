#include "profiler/stage_statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

namespace qvl {
namespace {

constexpr StaticName kNames[kStages] = {"queue",  "read",    "decode_picture", "resize",   "tokenise",
                                        "vision", "prefill", "decode",         "sampling", "step"};

// Below 16 a bucket for each number; from there on the leading bit and the four after it.
constexpr int kSubBits = 4;
constexpr uint64_t kSubBuckets = 1 << kSubBits;

size_t bucket_of(uint64_t value) {
  if (value < kSubBuckets) return value;
  const int shift = std::bit_width(value) - 1 - kSubBits;
  return static_cast<size_t>(shift) * kSubBuckets + (value >> shift);
}

// The least value of a bucket, and of the one behind the last.
uint64_t first_of(size_t bucket) {
  if (bucket < 2 * kSubBuckets) return bucket;
  return (kSubBuckets + bucket % kSubBuckets) << (bucket / kSubBuckets - 1);
}

// The middle of a bucket.
int64_t value_of(size_t bucket) {
  const uint64_t first = first_of(bucket);
  return static_cast<int64_t>(first + (first_of(bucket + 1) - 1 - first) / 2);
}

template <typename Better>
void improve(std::atomic<int64_t>& best, int64_t value, Better better) {
  int64_t old = best.load(std::memory_order_relaxed);
  while (better(value, old) && !best.compare_exchange_weak(old, value, std::memory_order_relaxed)) {
  }
}

double milliseconds(int64_t ns) { return static_cast<double>(ns) * 1e-6; }

}  // namespace

StaticName stage_name(Stage stage) { return kNames[static_cast<size_t>(stage)]; }

void DurationHistogram::add(int64_t duration_ns) {
  duration_ns = std::max<int64_t>(duration_ns, 0);
  improve(min_ns_, duration_ns, std::less<>());
  improve(max_ns_, duration_ns, std::greater<>());
  sum_ns_.fetch_add(static_cast<uint64_t>(duration_ns), std::memory_order_relaxed);
  buckets_[bucket_of(static_cast<uint64_t>(duration_ns))].fetch_add(1, std::memory_order_release);
}

DurationCounts DurationHistogram::counts() const {
  DurationCounts out;
  for (size_t i = 0; i < DurationCounts::kBuckets; ++i) {
    out.buckets[i] = buckets_[i].load(std::memory_order_acquire);
  }
  out.min_ns = min_ns_.load(std::memory_order_relaxed);
  out.max_ns = max_ns_.load(std::memory_order_relaxed);
  out.sum_ns = sum_ns_.load(std::memory_order_relaxed);
  return out;
}

DurationCounts DurationCounts::since(const DurationCounts& before) const {
  DurationCounts out{.sum_ns = sum_ns - before.sum_ns};
  for (size_t i = 0; i < kBuckets; ++i) out.buckets[i] = buckets[i] - before.buckets[i];
  const auto holds = [](uint64_t count) { return count > 0; };
  const auto least = std::find_if(out.buckets.begin(), out.buckets.end(), holds);
  if (least == out.buckets.end()) return out;
  const auto largest = std::find_if(out.buckets.rbegin(), out.buckets.rend(), holds);
  const auto value_at = [&](auto bucket) {
    return std::clamp(value_of(static_cast<size_t>(bucket)), min_ns, max_ns);
  };
  out.min_ns = min_ns < before.min_ns ? min_ns : value_at(least - out.buckets.begin());
  out.max_ns = max_ns > before.max_ns ? max_ns : value_at(out.buckets.rend() - largest - 1);
  if (out.min_ns > out.max_ns) std::swap(out.min_ns, out.max_ns);  // of one bucket, one of them its middle
  return out;
}

std::vector<DurationBucket> DurationCounts::filled() const {
  std::vector<DurationBucket> out;
  for (size_t i = 0; i < kBuckets; ++i) {
    if (buckets[i] == 0) continue;
    out.push_back(
        {.from_ns = static_cast<int64_t>(first_of(i)), .below_ns = first_of(i + 1), .count = buckets[i]});
  }
  return out;
}

DurationSummary DurationCounts::summary() const {
  DurationSummary out;
  for (const uint64_t count : buckets) out.count += count;
  if (out.count == 0) return out;
  out.min_ns = min_ns;
  out.max_ns = max_ns;
  out.mean_ns = static_cast<double>(sum_ns) / static_cast<double>(out.count);
  // The value below which a share of all lies, itself included: that of rank ceil(share * count).
  const auto percentile = [&](double share) {
    const auto rank = static_cast<uint64_t>(std::ceil(share * static_cast<double>(out.count)));
    uint64_t seen = 0;
    size_t bucket = 0;
    while (bucket + 1 < kBuckets && (seen += buckets[bucket]) < rank) ++bucket;
    return std::clamp(value_of(bucket), out.min_ns, out.max_ns);
  };
  out.p50_ns = percentile(0.50);
  out.p90_ns = percentile(0.90);
  out.p99_ns = percentile(0.99);
  return out;
}

StageCounts StageStatistics::counts() const {
  StageCounts out;
  for (size_t i = 0; i < kStages; ++i) out[i] = histograms_[i].counts();
  return out;
}

OrderedJson StageStatistics::to_json() const {
  OrderedJson out = OrderedJson::object();
  for (size_t i = 0; i < kStages; ++i) {
    const DurationSummary summary = histograms_[i].summary();
    OrderedJson& stage = out[kNames[i].text()];
    stage["count"] = summary.count;
    if (summary.count == 0) continue;
    stage["min_ms"] = milliseconds(summary.min_ns);
    stage["mean_ms"] = summary.mean_ns * 1e-6;
    stage["p50_ms"] = milliseconds(summary.p50_ns);
    stage["p90_ms"] = milliseconds(summary.p90_ns);
    stage["p99_ms"] = milliseconds(summary.p99_ns);
    stage["max_ms"] = milliseconds(summary.max_ns);
  }
  return out;
}

}  // namespace qvl
