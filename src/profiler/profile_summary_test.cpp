// Averages and peaks of a history, and what becomes of values that samples lack.
#include "profiler/profile_summary.h"

#include <gtest/gtest.h>

namespace qvl {
namespace {

constexpr uint32_t kOwnPid = 7;

SystemProfiler::SamplePtr sample(Sample of) { return std::make_shared<const Sample>(std::move(of)); }

Sample with_cpu(int64_t time_ns, double busy, std::optional<double> own) {
  Sample out{.time_ns = time_ns};
  out.rates.cpu = CpuLoad{.cpus = 4, .busy_cpus = busy, .own_cpus = own};
  if (own) out.rates.cpu->foreign_cpus = busy - *own;
  return out;
}

TEST(ProfileSummary, of_no_samples_has_every_key_and_no_figure) {
  EXPECT_EQ(to_json(summarise({}, kOwnPid)).dump(),
            R"({"samples":0,"seconds":0.0,"avg_cpu_percent":null,"max_cpu_percent":null,)"
            R"("avg_own_cpu_percent":null,"max_own_cpu_percent":null,"avg_foreign_cpu_percent":null,)"
            R"("max_foreign_cpu_percent":null,"avg_memory_percent":null,"max_memory_percent":null,)"
            R"("avg_rss_memory_mb":null,"max_rss_memory_mb":null,"avg_gpu_percent":null,)"
            R"("max_gpu_percent":null,"avg_gpu_memory_allocated_mb":null,)"
            R"("max_gpu_memory_allocated_mb":null,"avg_own_gpu_memory_mb":null,)"
            R"("max_own_gpu_memory_mb":null})");
}

TEST(ProfileSummary, averages_over_the_samples_that_have_a_value) {
  const SystemProfiler::SamplePtr history[] = {sample({.time_ns = 1'000'000'000}),
                                               sample(with_cpu(2'000'000'000, 1, 1)),
                                               sample(with_cpu(3'500'000'000, 3, std::nullopt))};
  const ProfileSummary summary = summarise(history, kOwnPid);
  EXPECT_EQ(summary.samples, 3u);
  EXPECT_EQ(summary.seconds, 2.5);
  EXPECT_EQ(summary.cpu_percent->mean, 50);
  EXPECT_EQ(summary.cpu_percent->most, 75);
  EXPECT_EQ(summary.own_cpu_percent->mean, 25);
  EXPECT_EQ(summary.foreign_cpu_percent->most, 0);
  EXPECT_FALSE(summary.memory_percent);
}

TEST(ProfileSummary, memory_is_the_share_that_is_not_available) {
  Sample one, two;
  one.memory = MemoryUse{.rss_bytes = 1 << 20, .total_bytes = 1000, .available_bytes = 750};
  two.memory = MemoryUse{.rss_bytes = 3 << 20, .total_bytes = 1000, .available_bytes = 250};
  const SystemProfiler::SamplePtr history[] = {sample(one), sample(two)};
  const OrderedJson json = to_json(summarise(history, kOwnPid));
  EXPECT_EQ(json["avg_memory_percent"], 50.0);
  EXPECT_EQ(json["max_memory_percent"], 75.0);
  EXPECT_EQ(json["avg_rss_memory_mb"], 2.0);
  EXPECT_EQ(json["max_rss_memory_mb"], 3.0);
}

TEST(ProfileSummary, gpus_add_their_memory_and_the_busiest_counts) {
  Sample one;
  one.gpus = {{.gpu = 0, .busy = 0.25, .memory_used_bytes = uint64_t{2} << 20},
              {.gpu = 1, .busy = 0.75, .memory_used_bytes = uint64_t{3} << 20},
              {.gpu = 2}};
  const SystemProfiler::SamplePtr history[] = {sample(one)};
  const OrderedJson json = to_json(summarise(history, kOwnPid));
  EXPECT_EQ(json["avg_gpu_percent"], 75.0);
  EXPECT_EQ(json["avg_gpu_memory_allocated_mb"], 5.0);
}

TEST(ProfileSummary, tells_the_own_memory_on_gpus_from_that_of_others) {
  constexpr uint64_t kMebibyte = 1 << 20;
  Sample one;
  one.gpus = {{.gpu = 0,
               .memory_used_bytes = 500 * kMebibyte,
               .processes = {{.pid = kOwnPid, .memory_bytes = 200 * kMebibyte},
                             {.pid = 8, .memory_bytes = 300 * kMebibyte}}},
              {.gpu = 1,
               .memory_used_bytes = 50 * kMebibyte,
               .processes = {{.pid = kOwnPid, .memory_bytes = 50 * kMebibyte}}}};
  Sample later;  // the process has given its memory back
  later.gpus = {{.gpu = 0, .memory_used_bytes = 300 * kMebibyte}};
  const SystemProfiler::SamplePtr history[] = {sample(one), sample(later)};
  const OrderedJson json = to_json(summarise(history, kOwnPid));
  EXPECT_EQ(json["avg_gpu_memory_allocated_mb"], 425.0);
  EXPECT_EQ(json["avg_own_gpu_memory_mb"], 125.0);
  EXPECT_EQ(json["max_own_gpu_memory_mb"], 250.0);
}

}  // namespace
}  // namespace qvl
