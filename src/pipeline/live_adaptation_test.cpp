#include "pipeline/live_adaptation.h"

#include <gtest/gtest.h>

#include "base/fake_system.h"

namespace qvl {
namespace {

CpuBudget budget_of(std::vector<int> cpus, std::optional<CpuQuota> quota = {}) {
  CpuBudget budget;
  budget.cpus = std::move(cpus);
  budget.quota = std::move(quota);
  return budget;
}

TEST(LiveAdaptation, counts_as_foreign_what_others_do_on_its_own_processors_alone) {
  FakeSystem system;
  CpuLoad load;
  load.cpus = 4;
  load.own_cpus = 1.2;
  load.each = {{0, 1.0}, {1, 0.7}, {2, 1.0}, {3, 1.0}};
  const auto signals = signals_of({budget_of({0, 1}), load, system.files()}, 5);
  EXPECT_EQ(signals.now_us, 5);
  EXPECT_EQ(signals.cpus, 2);
  EXPECT_EQ(signals.own_permille, 1200);
  EXPECT_EQ(signals.foreign_permille, 500);
  EXPECT_EQ(signals.quota_permille, std::nullopt);
}

TEST(LiveAdaptation, leaves_out_what_the_machine_does_not_tell) {
  FakeSystem system;
  const auto signals = signals_of({budget_of({0}), std::nullopt, system.files()}, 0);
  EXPECT_EQ(signals.own_permille, std::nullopt);
  EXPECT_EQ(signals.foreign_permille, std::nullopt);
  EXPECT_EQ(signals.memory_pressure_permille, std::nullopt);
  EXPECT_EQ(signals.available_bytes, std::nullopt);
  EXPECT_EQ(signals.ledger_permille, std::nullopt);
  EXPECT_EQ(signals.temperature_c, std::nullopt);
  EXPECT_EQ(signals.temperature_limit_c, std::nullopt);
  EXPECT_EQ(signals.power, scheduling::PowerSource::mains);
}

TEST(LiveAdaptation, begins_with_what_the_plan_allows) {
  FakeSystem system;
  const SystemOptimizationConfig config;
  ThreadManager threads({.num_compute_threads = 1}, {.files = system.files()});
  LiveAdaptation adaptation(
      {.config = config, .limits = {.prefill_chunk = 192, .feature_bytes = 800}, .files = system.files()},
      threads);
  EXPECT_EQ(adaptation.prefill_chunk(), 192);
  EXPECT_EQ(adaptation.feature_bytes(), 800u);
  // An eighth less of the caches after each second in which memory is short.
  system.write("/proc/pressure/memory",
               "some avg10=25.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 "
               "total=0\n");
  for (int64_t now_us = 0; now_us <= 2'000'000; now_us += LiveAdaptation::kInterval_us) {
    EXPECT_TRUE(adaptation.update(now_us));
  }
  EXPECT_LT(adaptation.feature_bytes(), 800u);
  EXPECT_LE(adaptation.prefill_chunk(), 192);
}

TEST(LiveAdaptation, passes_on_quota_stalls_and_memory) {
  FakeSystem system;
  system.write(
      "/proc/pressure/memory",
      "some avg10=12.50 avg60=1.00 avg300=0.00 total=7\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=1\n");
  system.write("/proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 400 kB\n");
  const CpuQuota quota{.cpus = 1.5, .folder = "/sys/fs/cgroup/a"};
  const auto signals = signals_of({budget_of({0, 1}, quota), std::nullopt, system.files()}, 0);
  EXPECT_EQ(signals.quota_permille, 1500);
  EXPECT_EQ(signals.memory_pressure_permille, 125);
  EXPECT_EQ(signals.available_bytes, 400u * 1024);
}

TEST(LiveAdaptation, takes_heat_and_power_from_the_sample_and_reads_what_it_leaves_out) {
  FakeSystem system;
  system.write("/sys/class/hwmon/hwmon0/name", "coretemp\n");
  system.write("/sys/class/hwmon/hwmon0/temp1_input", "61400\n");
  system.write("/sys/class/hwmon/hwmon0/temp1_crit", "100000\n");
  system.write("/sys/class/power_supply/BAT0/type", "Battery\n");
  system.write("/sys/class/power_supply/BAT0/status", "Discharging\n");
  const auto with = [&](const Sample* sample) {
    return signals_of({budget_of({0}), std::nullopt, system.files(), sample}, 0);
  };
  const auto read = with(nullptr);
  EXPECT_EQ(read.temperature_c, 61);
  EXPECT_EQ(read.temperature_limit_c, 100);
  EXPECT_EQ(read.power, scheduling::PowerSource::battery);
  Sample sample;
  sample.power.on_mains = true;
  EXPECT_EQ(with(&sample).temperature_c, 61);  // a sampler without profile_compute
  EXPECT_EQ(with(&sample).power, scheduling::PowerSource::mains);
  sample.temperatures = {{.name = "k10temp/Tctl", .celsius = 88.6, .limit_c = 95}};
  EXPECT_EQ(with(&sample).temperature_c, 89);
  EXPECT_EQ(with(&sample).temperature_limit_c, 95);
}

TEST(LiveAdaptation, counts_what_is_reserved_of_the_cap_without_the_blocks_that_the_pool_keeps) {
  FakeSystem system;
  Ledger ledger(1000);
  const auto weights = *ledger.reserve(MemoryPart::weights, 640);
  const auto kept = *ledger.reserve(MemoryPart::pool, 200);
  const auto signals = signals_of({budget_of({0}), std::nullopt, system.files(), nullptr, &ledger}, 0);
  EXPECT_EQ(signals.ledger_permille, 640);
}

}  // namespace
}  // namespace qvl
