#include "profiler/sample_averages.h"

#include <gtest/gtest.h>

#include <vector>

namespace qvl {
namespace {

constexpr uint32_t kOwnPid = 7;

std::shared_ptr<const Sample> first_sample() {
  Sample sample{.time_ns = 1'000'000'000};
  sample.memory = MemoryUse{.rss_bytes = 100};
  return std::make_shared<Sample>(sample);
}

std::shared_ptr<const Sample> sample_with_load(int64_t time_ns, double own, double foreign, uint64_t rss) {
  Sample sample{.time_ns = time_ns};
  sample.rates.cpu = CpuLoad{.cpus = 4, .busy_cpus = own + foreign, .own_cpus = own, .foreign_cpus = foreign};
  sample.memory = MemoryUse{.rss_bytes = rss, .available_bytes = 1000};
  return std::make_shared<Sample>(sample);
}

TEST(SampleAverages, are_over_the_samples_that_tell_a_value) {
  const std::vector history = {first_sample(), sample_with_load(2'000'000'000, 1, 0.5, 200),
                               sample_with_load(3'500'000'000, 2, 1.5, 600)};
  EXPECT_EQ(to_json(averages_of(history, kOwnPid)).dump(),
            R"({"samples":3,"span_s":2.5,"busy_cpus":2.5,"own_cpus":1.5,"foreign_cpus":1.0,)"
            R"("rss_bytes":300.0,"available_bytes":1000.0})");
}

TEST(SampleAverages, tell_the_own_memory_on_gpus_from_that_of_others) {
  Sample sample;
  sample.gpus = {{.gpu = 0,
                  .memory_used_bytes = 500,
                  .processes = {{.pid = kOwnPid, .memory_bytes = 200}, {.pid = 8, .memory_bytes = 300}}},
                 {.gpu = 1, .memory_used_bytes = 50, .processes = {{.pid = kOwnPid, .memory_bytes = 50}}}};
  Sample later;  // the process has given its memory back
  later.gpus = {{.gpu = 0, .memory_used_bytes = 300}};
  const std::vector<std::shared_ptr<const Sample>> history = {std::make_shared<Sample>(sample),
                                                              std::make_shared<Sample>(later)};
  const SampleAverages averages = averages_of(history, kOwnPid);
  EXPECT_EQ(averages.gpu_memory_used_bytes, 425);
  EXPECT_EQ(averages.gpu_memory_own_bytes, 125);
}

TEST(SampleAverages, of_nothing_are_nothing) {
  EXPECT_EQ(to_json(averages_of({}, kOwnPid)).dump(), R"({"samples":0,"span_s":0.0})");
}

}  // namespace
}  // namespace qvl
