#include "pipeline/system_layer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/error.h"
#include "base/fake_system.h"
#include "base/file.h"
#include "memory/memory_testing.h"
#include "optimizer/plan.h"
#include "profiler/trace_writer.h"

namespace qvl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string trace_of(SystemLayer& layer, const FakeSystem& system) {
  const auto path = system.files().at("/trace.json");
  write_trace(*layer.tracer(), "test", path);
  return read_file(path, 1 << 20, ErrorCode::environment);
}

TEST(SystemLayer, is_capped_as_the_plan_is_where_no_file_tells_how_much_memory_there_is) {
  FakeSystem system;  // tells nothing at all
  const auto physical =
      static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const PlanInputs planned{.hardware = read_hardware(system.files()), .config = {.memory_limit_ratio = 0.5}};
  const SystemLayer layer(planned.config, {.files = system.files()});
  EXPECT_EQ(planned.memory_cap(), physical / 2);
  EXPECT_EQ(layer.memory().limit().bytes, physical / 2);
  EXPECT_THAT(layer.warnings(), IsEmpty());
}

TEST(SystemLayer, says_that_a_limit_in_bytes_is_more_than_there_is_once_and_of_a_share_never) {
  FakeSystem system;
  system.write("/proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 900000 kB\n");
  SystemLayer layer({}, {.memory_limit = uint64_t{10} << 40, .files = system.files()});
  const std::string told = "memory limit: found 10.0 TiB, lowered to the 976.6 MiB of physical memory";
  EXPECT_THAT(layer.warnings(), ElementsAre(told));
  EXPECT_EQ(layer.memory().limit().bytes, 1'024'000'000u);
  EXPECT_THAT(layer.configure({.memory_limit_ratio = 1}, {}), IsEmpty());
  const SystemLayer all_of_it({.memory_limit_ratio = 1}, {.files = system.files()});
  EXPECT_THAT(all_of_it.warnings(), IsEmpty());
}

TEST(SystemLayer, takes_its_memory_from_the_configuration) {
  FakeSystem system;
  system.write("/proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 900000 kB\n");
  SystemLayer layer({.memory_limit_ratio = 0.25, .memory_pool_size = 4096}, {.files = system.files()});
  EXPECT_EQ(layer.memory().limit().bytes, 256'000'000u);
  { const HomeVector<uint8_t> pixels(10'000, layer.home(MemoryPart::pixels)); }
  EXPECT_EQ(layer.memory().pool().stats().kept_bytes, 0u);  // beyond what it may keep
  { const HomeVector<uint8_t> pixels(1000, layer.home(MemoryPart::pixels)); }
  EXPECT_EQ(layer.memory().pool().stats().kept_bytes, 1024u);
}

TEST(SystemLayer, shrinks_caches_between_two_steps_when_memory_becomes_short_and_the_trace_shows_it) {
  FakeSystem system;
  system.write("/proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 900000 kB\n");
  system.write("/proc/pressure/memory",
               "some avg10=25.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 "
               "total=0\n");
  SystemLayer layer({}, {.tracing = Tracing::on, .files = system.files()});
  auto cached = *layer.memory().ledger().reserve(MemoryPart::caches, 100 << 20);
  const auto cache = layer.memory().ledger().reclaimers().add(ReclaimStage::caches, [&](uint64_t wanted) {
    cached.shrink(wanted);
    return wanted;
  });
  layer.between_steps();
  EXPECT_EQ(cached.bytes(), 36u << 20);  // 64 MiB at a time
  layer.between_steps();                 // less than half a second later
  EXPECT_EQ(cached.bytes(), 36u << 20);
  EXPECT_THAT(trace_of(layer, system), HasSubstr("caches reduced by 64.0 MiB"));
}

// A machine that tells its memory and one disk, GPU or sensor of each kind that is sampled by the scope.
void write_machine(const FakeSystem& system) {
  system.write("/proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 900000 kB\n");
  system.write("/proc/self/status", "VmRSS: 10 kB\n");
  system.write("/sys/class/thermal/thermal_zone0/temp", "50000\n");
}

TEST(SystemLayer, does_nothing_that_the_plan_does_not_allow) {
  FakeSystem system;
  write_machine(system);
  const auto threads_of = [&](const RunLimits& limits) {
    SystemLayer layer({.num_compute_threads = 2}, {.limits = limits, .files = system.files()});
    const ThreadManager::CallerGuard guard(layer.threads());
    layer.between_steps();
    return layer.state().threads;
  };
  if (threads_of({}).compute_threads < 2) GTEST_SKIP() << "needs two processors";
  EXPECT_EQ(threads_of({}).placing, ThreadStatus::Placing::pinned);
  EXPECT_GT(threads_of({}).awake_turns, 0);
  EXPECT_EQ(threads_of({.pinning = false}).placing, ThreadStatus::Placing::confined);
  EXPECT_EQ(threads_of({.waiting_awake = false}).awake_turns, 0);
}

constexpr int64_t kMinute_us = 60'000'000;

// Runs the control loop as steps would, as fast as it goes.
void look_for(SystemLayer& layer, int64_t& now_us, int64_t time_us) {
  for (const int64_t end_us = now_us + time_us; now_us < end_us; now_us += LiveAdaptation::kInterval_us) {
    layer.between_steps(now_us);
  }
}

void write_heat(const FakeSystem& system, std::string_view millicelsius) {
  system.write("/sys/class/hwmon/hwmon0/name", "coretemp\n");
  system.write("/sys/class/hwmon/hwmon0/temp1_input", millicelsius);
  system.write("/sys/class/hwmon/hwmon0/temp1_crit", "100000\n");
}

TEST(SystemLayer, computes_less_while_a_processor_is_at_its_limit_and_as_before_when_it_is_cool) {
  FakeSystem system;
  write_machine(system);
  write_heat(system, "99000\n");
  const auto cpus = static_cast<int>(this_thread_affinity().size());
  SystemLayer layer({.num_compute_threads = cpus, .enable_profiling = false},
                    {.tracing = Tracing::on, .files = system.files()});
  const int threads = layer.compute_threads();
  int64_t now_us = 0;
  look_for(layer, now_us, kMinute_us);
  EXPECT_EQ(layer.compute_threads(), std::min(threads, cpus - cpus / 2));
  EXPECT_DOUBLE_EQ(layer.state().threads.duty, 0.3);
  EXPECT_THAT(trace_of(layer, system), HasSubstr(": temperature 99 C"));
  write_heat(system, "60000\n");
  look_for(layer, now_us, cpus * kMinute_us);
  EXPECT_EQ(layer.compute_threads(), threads);
  EXPECT_DOUBLE_EQ(layer.state().threads.duty, 1);
}

SystemProfiler::SamplePtr first_sample(const SystemLayer& layer) {
  while (layer.profiler()->latest() == nullptr) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return layer.profiler()->latest();
}

TEST(SystemLayer, takes_heat_from_the_sampler_for_as_long_as_a_sample_is_fresh) {
  FakeSystem system;
  write_machine(system);
  write_heat(system, "99000\n");
  const auto cpus = static_cast<int>(this_thread_affinity().size());
  SystemLayer layer({.num_compute_threads = cpus, .profile_interval = 3600}, {.files = system.files()});
  int64_t now_us = first_sample(layer)->time_ns / 1000;
  system.remove("/sys/class/hwmon");
  const int threads = layer.compute_threads();
  const auto computes_less = [&] {
    return layer.compute_threads() < threads || layer.state().threads.duty < 1;
  };
  look_for(layer, now_us, 4'000'000);
  EXPECT_TRUE(computes_less());
  look_for(layer, now_us, kMinute_us);
  EXPECT_FALSE(computes_less());
}

TEST(SystemLayer, saves_more_power_on_battery_and_none_where_the_plan_or_the_policy_does_not) {
  FakeSystem system;
  write_machine(system);
  system.write("/sys/class/power_supply/BAT0/type", "Battery\n");
  system.write("/sys/class/power_supply/BAT0/status", "Discharging\n");
  system.write("/sys/class/power_supply/AC/type", "Mains\n");
  const auto duty_on = [&](std::string_view mains, SchedulerPolicy policy, const RunLimits& limits) {
    system.write("/sys/class/power_supply/AC/online", mains);
    SystemLayer layer({.scheduler_policy = policy, .enable_profiling = false},
                      {.limits = limits, .files = system.files()});
    int64_t now_us = 0;
    look_for(layer, now_us, kMinute_us);
    return layer.state().threads.duty;
  };
  EXPECT_DOUBLE_EQ(duty_on("1\n", SchedulerPolicy::power_save, {}), kPowerSaveDuty);
  EXPECT_DOUBLE_EQ(duty_on("0\n", SchedulerPolicy::power_save, {}), 0.25);
  EXPECT_DOUBLE_EQ(duty_on("0\n", SchedulerPolicy::power_save, {.resting = false}), 1);
  EXPECT_DOUBLE_EQ(duty_on("0\n", SchedulerPolicy::balanced, {}), 1);
}

TEST(SystemLayer, keeps_fewer_features_while_nearly_all_of_its_memory_is_reserved) {
  FakeSystem system;
  write_machine(system);
  SystemLayer layer({.enable_profiling = false}, {.limits = {.feature_bytes = 800},
                                                  .memory_limit = 1'000'000'000,
                                                  .tracing = Tracing::on,
                                                  .files = system.files()});
  int64_t now_us = 0;
  {
    const uint64_t held = layer.memory().ledger().report().held_bytes;
    const auto weights = *layer.memory().ledger().reserve(MemoryPart::weights, 960'000'000 - held);
    look_for(layer, now_us, kMinute_us);
    EXPECT_EQ(layer.feature_bytes(), 0u);
    EXPECT_THAT(trace_of(layer, system), HasSubstr("96.0 % of the memory cap reserved"));
  }
  look_for(layer, now_us, 2 * kMinute_us);
  EXPECT_EQ(layer.feature_bytes(), 800u);
}

TEST(SystemLayer, changes_nothing_on_a_machine_that_tells_of_neither_heat_nor_battery) {
  FakeSystem system;
  system.write("/proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 900000 kB\n");
  const auto cpus = static_cast<int>(this_thread_affinity().size());
  SystemLayer layer({.num_compute_threads = cpus}, {.tracing = Tracing::on, .files = system.files()});
  const int threads = layer.compute_threads();
  int64_t now_us = 0;
  look_for(layer, now_us, kMinute_us);
  EXPECT_EQ(layer.compute_threads(), threads);
  EXPECT_DOUBLE_EQ(layer.state().threads.duty, 1);
  EXPECT_THAT(trace_of(layer, system), testing::Not(HasSubstr("adaptation")));
}

TEST(SystemLayer, keeps_to_the_chunk_and_the_features_of_the_plan) {
  FakeSystem system;
  write_machine(system);
  SystemLayer layer({}, {.limits = {.prefill_chunk = 192, .feature_bytes = 5000}, .files = system.files()});
  EXPECT_EQ(layer.prefill_chunk(512), 192);
  EXPECT_EQ(layer.prefill_chunk(100), 100);
  EXPECT_EQ(layer.feature_bytes(), 5000u);
  EXPECT_EQ(layer.limits().prefill_chunk, 192);
}

TEST(SystemLayer, advises_huge_pages_and_cleans_up_only_where_the_plan_does) {
  FakeSystem system;
  write_machine(system);
  for (const bool planned : {false, true}) {
    SystemLayer layer({.memory_cleanup_interval = 1},
                      {.limits = {.huge_pages = planned, .interval_clean_up = planned},
                       .tracing = Tracing::on,
                       .files = system.files()});
    HomeVector<std::byte> keys(4 << 20, layer.home(MemoryPart::kv));
    if (const auto advised = advised_huge(keys.data())) {
      EXPECT_EQ(advised, planned);
    }
    layer.after_request();
    EXPECT_EQ(trace_of(layer, system).find("interval (1 operation)") != std::string::npos, planned);
  }
}

TEST(SystemLayer, runs_under_another_configuration_from_then_on) {
  FakeSystem system;
  write_machine(system);
  SystemLayer layer({.num_compute_threads = 2}, {.files = system.files()});
  EXPECT_THAT(layer.configure({.num_compute_threads = 1,
                               .num_io_threads = 3,
                               .scheduler_policy = SchedulerPolicy::power_save,
                               .memory_limit_ratio = 0.5,
                               .memory_pool_size = 0,
                               .memory_cleanup_interval = 1},
                              {.huge_pages = false, .prefill_chunk = 64, .feature_bytes = 7}),
              IsEmpty());
  const SystemState state = layer.state();
  EXPECT_EQ(state.threads.policy, SchedulerPolicy::power_save);
  EXPECT_EQ(state.threads.compute_threads, 1);
  EXPECT_EQ(state.threads.io_threads, 3);
  EXPECT_EQ(state.prefill_chunk, 64);
  EXPECT_EQ(state.feature_bytes, 7u);
  EXPECT_EQ(layer.memory().limit().bytes, 512'000'000u);
  EXPECT_EQ(layer.memory().ledger().cap_bytes(), 512'000'000u);
  { const HomeVector<uint8_t> pixels(1000, layer.home(MemoryPart::pixels)); }
  EXPECT_EQ(layer.memory().pool().stats().kept_bytes, 0u);
}

TEST(SystemLayer, changes_nothing_where_a_configuration_is_refused) {
  FakeSystem system;
  write_machine(system);
  SystemLayer layer({.num_compute_threads = 1}, {.files = system.files()});
  const auto held = *layer.memory().ledger().reserve(MemoryPart::weights, 200'000'000);
  const auto code_of = [&](const SystemOptimizationConfig& config) {
    try {
      layer.configure(config, {});
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::cancelled;  // it was taken
  };
  EXPECT_EQ(code_of({.num_io_threads = 7, .memory_limit_ratio = 0.1}), ErrorCode::limit);
  EXPECT_EQ(code_of({.cpu_affinity_mask = CpuMask::parse("0x1" + std::string(2000, '0')),
                     .memory_limit_ratio = 0.5}),
            ErrorCode::usage);
  EXPECT_EQ(layer.state().threads.io_threads, 2);
  EXPECT_EQ(layer.state().config.memory_limit_ratio, 0.8);
  EXPECT_EQ(layer.memory().ledger().cap_bytes(), 819'200'000u);
}

TEST(SystemLayer, never_passes_the_limit_that_it_was_given) {
  FakeSystem system;
  write_machine(system);
  SystemLayer layer({}, {.memory_limit = 300'000'000, .files = system.files()});
  layer.configure({.memory_limit_ratio = 0.9}, {});
  EXPECT_EQ(layer.memory().ledger().cap_bytes(), 300'000'000u);
  layer.configure({.memory_limit_ratio = 0.25}, {});
  EXPECT_EQ(layer.memory().ledger().cap_bytes(), 256'000'000u);
}

TEST(SystemLayer, publishes_what_it_is_at_only_while_it_samples) {
  FakeSystem system;
  write_machine(system);
  const std::filesystem::path folder = system.files().at("/status");
  const auto published = [&] {
    return std::filesystem::exists(folder) && !std::filesystem::is_empty(folder);
  };
  SystemLayer layer({.enable_profiling = false},
                    {.files = system.files(), .model = "small", .status_folder = folder});
  EXPECT_FALSE(published());
  layer.configure({.profile_interval = 0.01}, {});
  while (!published()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  layer.configure({.enable_profiling = false}, {});
  EXPECT_FALSE(published());
}

TEST(SystemLayer, samples_from_its_start_what_the_configuration_asks_for) {
  FakeSystem system;
  write_machine(system);
  const auto sample_of = [&](const SystemOptimizationConfig& config) {
    const SystemLayer layer(config, {.files = system.files()});
    return first_sample(layer);
  };
  const auto all = sample_of({});
  EXPECT_EQ(all->memory->rss_bytes, 10'240);
  EXPECT_EQ(all->temperatures.size(), 1);
  const auto compute = sample_of({.profile_memory = false});
  EXPECT_FALSE(compute->memory);
  EXPECT_EQ(compute->temperatures.size(), 1);
  const auto memory = sample_of({.profile_compute = false});
  EXPECT_TRUE(memory->memory);
  EXPECT_THAT(memory->temperatures, IsEmpty());
}

TEST(SystemLayer, samples_at_the_interval_of_the_configuration_and_not_at_all_without_profiling) {
  FakeSystem system;
  write_machine(system);
  const SystemLayer often({.profile_interval = 0.01}, {.files = system.files()});
  while (often.profiler()->cost().samples < 3) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const SystemLayer seldom({.profile_interval = 3600}, {.files = system.files()});
  first_sample(seldom);
  EXPECT_EQ(seldom.profiler()->history().size(), 1u);
  const SystemLayer off({.enable_profiling = false}, {.files = system.files()});
  EXPECT_EQ(off.profiler(), nullptr);
}

std::vector<ThreadId> samplers() {
  const SystemFiles files;
  std::vector<ThreadId> threads;
  for (const std::string& task : files.names("/proc/self/task")) {
    if (files.first_line("/proc/self/task/" + task + "/comm") != "qvl-profiler") continue;
    threads.push_back(static_cast<ThreadId>(parse_whole(task).value()));
  }
  return threads;
}

// Of the sampler's threads but for `others`: models that tests of this program share have samplers too.
std::vector<CpuSet> places_of_samplers(const std::vector<ThreadId>& others) {
  std::vector<CpuSet> places;
  for (const ThreadId thread : samplers()) {
    if (std::find(others.begin(), others.end(), thread) == others.end()) {
      places.push_back(thread_affinity(thread));
    }
  }
  return places;
}

TEST(SystemLayer, samples_on_the_processors_of_the_mask) {
  FakeSystem system;
  write_machine(system);
  const CpuSet all = this_thread_affinity();
  const CpuSet first{*all.begin()};
  const std::vector<ThreadId> others = samplers();
  SystemLayer layer({.cpu_affinity_mask = CpuMask::parse(first.mask()), .profile_interval = 0.01},
                    {.files = system.files()});
  const auto wait_for_samples = [&] {
    const uint64_t before = layer.profiler()->cost().samples;
    while (layer.profiler()->cost().samples < before + 2) std::this_thread::yield();
  };
  wait_for_samples();
  EXPECT_THAT(places_of_samplers(others), ElementsAre(first));
  layer.configure({.profile_interval = 0.01}, {});
  wait_for_samples();
  EXPECT_THAT(places_of_samplers(others), ElementsAre(all));
}

TEST(SystemLayer, samples_as_the_last_configuration_says) {
  FakeSystem system;
  write_machine(system);
  SystemLayer layer({.profile_interval = 3600}, {.files = system.files()});
  const auto first = layer.profiler();
  layer.configure({.num_io_threads = 1, .profile_interval = 3600}, {});
  EXPECT_EQ(layer.profiler(), first);  // goes on, with its history
  layer.configure({.profile_interval = 0.01}, {});
  EXPECT_FALSE(first->running());
  while (layer.profiler()->cost().samples < 3) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  layer.configure({.enable_profiling = false}, {});
  EXPECT_EQ(layer.profiler(), nullptr);
}

TEST(SystemLayer, cleans_up_after_as_many_requests_as_configured) {
  FakeSystem system;
  system.write("/proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 900000 kB\n");
  SystemLayer layer({.memory_cleanup_interval = 2}, {.tracing = Tracing::on, .files = system.files()});
  layer.after_request();
  EXPECT_THAT(trace_of(layer, system), testing::Not(HasSubstr("interval")));
  layer.after_request();
  EXPECT_THAT(trace_of(layer, system), HasSubstr("interval (2 operations): caches 0 B, pool 0 B"));
}

}  // namespace
}  // namespace qvl
