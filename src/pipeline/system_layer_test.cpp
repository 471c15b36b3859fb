#include "pipeline/system_layer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/fake_system.h"
#include "base/file.h"
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

TEST(SystemLayer, falls_back_to_physical_memory_and_says_so_where_no_limit_can_be_read) {
  FakeSystem system;  // tells nothing at all
  std::vector<std::string> warnings;
  const auto memory = memory_options({.memory_limit_ratio = 0.5}, {.files = system.files()}, warnings);
  const auto physical =
      static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  EXPECT_EQ(memory.memory_limit_bytes, physical / 2);
  EXPECT_THAT(warnings,
              ElementsAre(HasSubstr(
                  "the system does not tell how much memory this process may use; it is held to ")));
  warnings.clear();
  EXPECT_EQ(memory_options({}, {.memory_limit = 1000, .files = system.files()}, warnings).memory_limit_bytes,
            1000u);
  EXPECT_THAT(warnings, IsEmpty());
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

SystemProfiler::SamplePtr first_sample(const SystemLayer& layer) {
  while (layer.profiler()->latest() == nullptr) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return layer.profiler()->latest();
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
