#include "profiler/stage_statistics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <thread>
#include <vector>

namespace qvl {
namespace {

TEST(DurationHistogram, is_empty_at_first) {
  const DurationSummary summary = DurationHistogram().summary();
  EXPECT_EQ(summary.count, 0U);
  EXPECT_EQ(summary.min_ns, 0);
  EXPECT_EQ(summary.max_ns, 0);
  EXPECT_EQ(summary.p99_ns, 0);
}

TEST(DurationHistogram, gives_a_single_duration_exactly) {
  for (const int64_t duration : {int64_t{0}, int64_t{1}, int64_t{31}, int64_t{1'234'567}, INT64_MAX}) {
    DurationHistogram histogram;
    histogram.add(duration);
    const DurationSummary summary = histogram.summary();
    EXPECT_EQ(summary.count, 1U);
    EXPECT_EQ(summary.min_ns, duration);
    EXPECT_EQ(summary.max_ns, duration);
    EXPECT_EQ(summary.p50_ns, duration);
    EXPECT_EQ(summary.p99_ns, duration);
    EXPECT_DOUBLE_EQ(summary.mean_ns, static_cast<double>(duration));
  }
}

TEST(DurationHistogram, counts_small_durations_exactly) {
  DurationHistogram histogram;
  for (int64_t value = 1; value <= 10; ++value) histogram.add(value);
  const DurationSummary summary = histogram.summary();
  EXPECT_EQ(summary.p50_ns, 5);
  EXPECT_EQ(summary.p90_ns, 9);
  EXPECT_EQ(summary.p99_ns, 10);
  EXPECT_DOUBLE_EQ(summary.mean_ns, 5.5);
}

TEST(DurationHistogram, takes_a_negative_duration_for_none) {
  DurationHistogram histogram;
  histogram.add(-5);
  EXPECT_EQ(histogram.summary().min_ns, 0);
  EXPECT_EQ(histogram.summary().max_ns, 0);
}

TEST(DurationHistogram, has_percentiles_within_3_percent_over_all_magnitudes) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> magnitude(0, 12);
  std::vector<int64_t> values;
  DurationHistogram histogram;
  double sum = 0;
  for (int i = 0; i < 20'000; ++i) {
    values.push_back(static_cast<int64_t>(std::pow(10, magnitude(random))));
    histogram.add(values.back());
    sum += static_cast<double>(values.back());
  }
  std::sort(values.begin(), values.end());
  const DurationSummary summary = histogram.summary();
  const auto expect_near = [](int64_t found, int64_t exact) {
    EXPECT_NEAR(static_cast<double>(found) / static_cast<double>(exact), 1, 0.032);
  };
  EXPECT_EQ(summary.count, 20'000U);
  EXPECT_EQ(summary.min_ns, values.front());
  EXPECT_EQ(summary.max_ns, values.back());
  expect_near(summary.p50_ns, values[9'999]);
  expect_near(summary.p90_ns, values[17'999]);
  expect_near(summary.p99_ns, values[19'799]);
  EXPECT_NEAR(summary.mean_ns / (sum / 20'000), 1, 1e-9);
}

TEST(DurationHistogram, loses_nothing_that_many_threads_add) {
  DurationHistogram histogram;
  std::vector<std::thread> threads;
  for (int64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&histogram, t] {
      for (int64_t i = 0; i < 20'000; ++i) histogram.add(t * 1000 + 10);
    });
  }
  for (uint64_t count = 0; count < 80'000;) {
    const DurationSummary now = histogram.summary();
    EXPECT_GE(now.count, count);
    if (now.count > 0) {
      EXPECT_LE(now.min_ns, now.max_ns);
    }
    count = now.count;
  }
  for (std::thread& thread : threads) thread.join();
  const DurationSummary summary = histogram.summary();
  EXPECT_EQ(summary.count, 80'000U);
  EXPECT_EQ(summary.min_ns, 10);
  EXPECT_EQ(summary.max_ns, 3010);
  EXPECT_DOUBLE_EQ(summary.mean_ns, 1510);
}

TEST(DurationHistogram, tells_the_buckets_that_hold_something) {
  DurationHistogram histogram;
  for (const int64_t duration : {int64_t{3}, int64_t{3}, int64_t{1025}, int64_t{1087}, INT64_MAX}) {
    histogram.add(duration);
  }
  // 16 of a power of two: from 1024 on they are 64 wide.
  const auto filled = histogram.counts().filled();
  ASSERT_EQ(filled.size(), 3U);
  EXPECT_EQ(filled[0].from_ns, 3);
  EXPECT_EQ(filled[0].below_ns, 4U);
  EXPECT_EQ(filled[0].count, 2U);
  EXPECT_EQ(filled[1].from_ns, 1024);
  EXPECT_EQ(filled[1].below_ns, 1088U);
  EXPECT_EQ(filled[1].count, 2U);
  EXPECT_EQ(filled[2].from_ns, int64_t{31} << 58);
  EXPECT_EQ(filled[2].below_ns, uint64_t{1} << 63);
  EXPECT_EQ(filled[2].count, 1U);
}

TEST(DurationCounts, since_an_earlier_moment_are_those_added_from_then_on) {
  DurationHistogram histogram;
  for (const int64_t duration : {5, 1'000'000}) histogram.add(duration);
  const DurationCounts before = histogram.counts();
  EXPECT_EQ(histogram.counts().since(before).summary().count, 0U);
  EXPECT_EQ(histogram.counts().since(before).summary().max_ns, 0);
  for (const int64_t duration : {7, 9, 11, 13}) histogram.add(duration);
  const DurationSummary summary = histogram.counts().since(before).summary();
  EXPECT_EQ(summary.count, 4U);
  EXPECT_EQ(summary.min_ns, 7);
  EXPECT_EQ(summary.max_ns, 13);
  EXPECT_EQ(summary.p50_ns, 9);
  EXPECT_DOUBLE_EQ(summary.mean_ns, 10);
}

TEST(DurationCounts, since_an_earlier_moment_know_the_extremes_exactly_where_they_are_new) {
  DurationHistogram histogram;
  for (const int64_t duration : {1'000, 1'000'000}) histogram.add(duration);
  const DurationCounts before = histogram.counts();
  histogram.add(1'001'000);  // a new longest one, in the bucket of the longest until then
  const DurationSummary longer = histogram.counts().since(before).summary();
  EXPECT_NEAR(static_cast<double>(longer.min_ns), 1'001'000, 32'032);
  EXPECT_NEAR(static_cast<double>(longer.max_ns), 1'001'000, 32'032);
  EXPECT_LE(longer.min_ns, longer.max_ns);
  histogram.add(3);
  histogram.add(2'000'003);
  const DurationSummary beyond = histogram.counts().since(before).summary();
  EXPECT_EQ(beyond.min_ns, 3);
  EXPECT_EQ(beyond.max_ns, 2'000'003);
}

TEST(StageStatistics, have_a_histogram_for_each_stage) {
  StageStatistics statistics;
  statistics.add(Stage::vision, 2'000'000);
  statistics.add(Stage::vision, 4'000'000);
  statistics.add(Stage::decode, 5);
  EXPECT_EQ(statistics.summary(Stage::vision).count, 2U);
  EXPECT_EQ(statistics.summary(Stage::decode).count, 1U);
  EXPECT_EQ(statistics.summary(Stage::queue).count, 0U);
  const StageCounts counts = statistics.counts();
  EXPECT_EQ(counts[static_cast<size_t>(Stage::vision)].sum_ns, 6'000'000U);
  EXPECT_EQ(counts[static_cast<size_t>(Stage::decode)].sum_ns, 5U);

  const OrderedJson json = statistics.to_json();
  std::vector<std::string> names;
  for (const auto& entry : json.items()) names.push_back(entry.key());
  EXPECT_EQ(names, (std::vector<std::string>{"queue", "read", "decode_picture", "resize", "tokenise",
                                             "vision", "prefill", "decode", "sampling", "step"}));
  EXPECT_EQ(json["queue"].dump(), R"({"count":0})");
  EXPECT_EQ(json["vision"]["count"], 2);
  EXPECT_DOUBLE_EQ(json["vision"]["min_ms"], 2);
  EXPECT_DOUBLE_EQ(json["vision"]["mean_ms"], 3);
  EXPECT_NEAR(json["vision"]["p50_ms"].get<double>(), 2, 0.07);
  EXPECT_NEAR(json["vision"]["p99_ms"].get<double>(), 4, 0.13);
  EXPECT_DOUBLE_EQ(json["vision"]["max_ms"], 4);
}

TEST(StageZone, measures_for_the_statistics_and_for_the_trace) {
  StageStatistics statistics;
  Tracer tracer;
  { const StageZone untraced(statistics, nullptr, Stage::resize); }
  { const StageZone off(statistics, &tracer, Stage::resize); }
  tracer.enable();
  { const StageZone traced(statistics, &tracer, Stage::resize, 3); }
  EXPECT_EQ(statistics.summary(Stage::resize).count, 3U);
  size_t events = 0;
  tracer.for_each_thread([&](const Tracer::ThreadEvents& thread) {
    for (const TraceEvent& event : thread.events) {
      ++events;
      EXPECT_STREQ(event.name, "resize");
      EXPECT_EQ(event.request, 3U);
    }
  });
  EXPECT_EQ(events, 1U);
}

}  // namespace
}  // namespace qvl
