#include "memory/memory_manager.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <limits>

#include "base/error.h"
#include "base/fake_system.h"
#include "memory/page_size.h"

namespace qvl {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

// A machine of 1000 MiB of which 600 are available, and a process of 50 MiB.
class MemoryManagerTest : public testing::Test {
 protected:
  MemoryManagerTest() {
    system_.write("/proc/meminfo", "MemTotal: 1024000 kB\nMemAvailable: 614400 kB\n");
    system_.write("/proc/self/statm",
                  fmt::format("{} {} 0 0 0 0 0\n", 900 * kMiB / page_size(), 50 * kMiB / page_size()));
    system_.write("/proc/self/status", "VmSize: 921600 kB\nVmHWM: 61440 kB\nVmRSS: 51200 kB\n");
  }
  void expect_refused(const MemoryManagerOptions& options, ErrorCode code, std::string_view message) const {
    try {
      MemoryManager manager(options, system_.files());
      ADD_FAILURE() << "expected: " << message;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code);
      EXPECT_EQ(error.what(), message);
    }
  }
  FakeSystem system_;
};

TEST_F(MemoryManagerTest, takes_its_share_of_what_the_process_may_use) {
  const MemoryManager manager({}, system_.files());
  EXPECT_EQ(manager.limit().bytes, 800 * kMiB);
  EXPECT_EQ(manager.limit().cause, "80 % of physical memory");
  const LedgerReport ledger = manager.report().ledger;
  EXPECT_EQ(ledger.cap_bytes, 800 * kMiB);
  EXPECT_EQ(ledger.of(MemoryPart::program).held_bytes, 50 * kMiB);
  EXPECT_EQ(ledger.held_bytes, 50 * kMiB);
}

TEST_F(MemoryManagerTest, takes_its_share_of_the_group_that_has_less) {
  system_.write("/proc/self/cgroup", "0::/\n");
  system_.write("/sys/fs/cgroup/cgroup.controllers", "memory\n");
  system_.write("/sys/fs/cgroup/memory.max", "209715200\n");
  const MemoryManager manager({.memory_limit_ratio = 0.75}, system_.files());
  EXPECT_EQ(manager.limit().bytes, 150 * kMiB);
  EXPECT_EQ(manager.limit().cause, "75 % of cgroup /sys/fs/cgroup memory.max");
}

TEST_F(MemoryManagerTest, lowers_an_absolute_limit_to_what_there_is) {
  const MemoryManager fits({.memory_limit_bytes = 300 * kMiB}, system_.files());
  EXPECT_EQ(fits.limit().bytes, 300 * kMiB);
  EXPECT_EQ(fits.limit().cause, "as asked for");
  const MemoryManager lowered({.memory_limit_bytes = 2048 * kMiB}, system_.files());
  EXPECT_EQ(lowered.limit().bytes, 1000 * kMiB);
  EXPECT_EQ(lowered.limit().cause, "2.0 GiB asked for, lowered to physical memory");
}

TEST_F(MemoryManagerTest, refuses_options_outside_their_range) {
  for (const double ratio : {0.0, -0.5, 1.01, std::numeric_limits<double>::quiet_NaN()}) {
    expect_refused(
        {.memory_limit_ratio = ratio}, ErrorCode::usage,
        fmt::format("memory_limit_ratio: found {}, expected a number above 0 and at most 1", ratio));
  }
  for (const int64_t interval : {int64_t{0}, int64_t{-1}, int64_t{1'000'001}}) {
    expect_refused({.memory_cleanup_interval = interval}, ErrorCode::usage,
                   fmt::format("memory_cleanup_interval: found {}, expected 1 to 1000000", interval));
  }
}

TEST_F(MemoryManagerTest, refuses_a_limit_below_the_program_alone) {
  expect_refused({.memory_limit_bytes = 20 * kMiB}, ErrorCode::limit,
                 "memory limit: not enough memory for program 50.0 MiB: 20.0 MiB of 20.0 MiB free, 30.0 MiB "
                 "missing (held: nothing)");
}

TEST_F(MemoryManagerTest, goes_by_the_systems_count_of_pages_where_no_file_tells) {
  system_.remove("/proc");
  const uint64_t physical = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * page_size();
  EXPECT_EQ(MemoryManager({.memory_limit_ratio = 0.5}, system_.files()).limit().bytes, physical / 2);
  MemoryManager manager({.memory_limit_bytes = 100 * kMiB}, system_.files());
  EXPECT_TRUE(manager.pool().allocate(1000, MemoryPart::vision));
  const Json json = to_json(manager.report());
  for (const char* key :
       {"rss", "vms", "peak_rss", "available", "percent_used", "rss_memory_mb", "available_memory_mb"}) {
    EXPECT_TRUE(json.at(key).is_null()) << key;
  }
  EXPECT_EQ(json.at("total"), physical);
  EXPECT_EQ(json.at("cap_bytes"), 100 * kMiB);
}

TEST_F(MemoryManagerTest, reports_all_that_was_asked_of_it) {
  MemoryManager manager({}, system_.files());
  { PooledBlock block = *manager.pool().allocate(8 * kMiB, MemoryPart::vision); }
  PooledBlock block = *manager.pool().allocate(8 * kMiB, MemoryPart::vision);
  { PooledBlock other = *manager.pool().allocate(4 * kMiB, MemoryPart::pixels); }
  const auto kv = manager.ledger().reserve(MemoryPart::kv, 138 * kMiB);
  EXPECT_FALSE(manager.ledger().reserve(MemoryPart::kv, 801 * kMiB));
  EXPECT_EQ(to_json(manager.report()), Json::parse(R"({
    "rss": 52428800, "vms": 943718400, "peak_rss": 62914560, "available": 629145600, "total": 1048576000,
    "percent_used": 40.0, "rss_memory_mb": 50.0, "available_memory_mb": 600.0, "total_memory_mb": 1000.0,
    "memory_utilization": 0.25, "tensor_pool_size": 4194304, "tensor_pool_hit_rate": 0.3333333333333333,
    "tensor_pool_allocations": 2,
    "limit_bytes": 838860800, "limit_cause": "80 % of physical memory", "cap_bytes": 838860800,
    "held_bytes": 209715200, "peak_bytes": 209715200, "refusals": 1,
    "by_part": {
      "program": {"held_bytes": 52428800, "peak_bytes": 52428800, "refusals": 0},
      "weights": {"held_bytes": 0, "peak_bytes": 0, "refusals": 0},
      "kv": {"held_bytes": 144703488, "peak_bytes": 144703488, "refusals": 1},
      "vision": {"held_bytes": 8388608, "peak_bytes": 8388608, "refusals": 0},
      "pixels": {"held_bytes": 0, "peak_bytes": 4194304, "refusals": 0},
      "scratch": {"held_bytes": 0, "peak_bytes": 0, "refusals": 0},
      "pool": {"held_bytes": 4194304, "peak_bytes": 8388608, "refusals": 0},
      "caches": {"held_bytes": 0, "peak_bytes": 0, "refusals": 0},
      "staging": {"held_bytes": 0, "peak_bytes": 0, "refusals": 0},
      "other": {"held_bytes": 0, "peak_bytes": 0, "refusals": 0}}})"));
}

TEST_F(MemoryManagerTest, keeps_what_the_pool_may_keep_and_cleans_up_at_its_interval) {
  MemoryManager manager({.memory_pool_size = 4 * kMiB, .memory_cleanup_interval = 2}, system_.files());
  { PooledBlock block = *manager.pool().allocate(5 * kMiB, MemoryPart::vision); }
  EXPECT_EQ(manager.report().pool.kept_bytes, 0u);
  { PooledBlock block = *manager.pool().allocate(3 * kMiB, MemoryPart::vision); }
  EXPECT_EQ(manager.report().pool.kept_bytes, 3 * kMiB);
  EXPECT_FALSE(manager.after_operation({}).has_value());
  EXPECT_EQ(manager.after_operation({})->cause, CleanupCause::interval);
  EXPECT_EQ(manager.clean_up(kMiB).freed.pool, 3 * kMiB);
  EXPECT_FALSE(manager.pressed());
  EXPECT_TRUE(manager.after_operation({.some_avg10 = 90.0}).has_value());
  EXPECT_TRUE(manager.pressed());
}

TEST_F(MemoryManagerTest, runs_under_other_options_from_then_on) {
  MemoryManager manager({}, system_.files());
  { (void)manager.pool().allocate(kMiB, MemoryPart::scratch); }
  EXPECT_EQ(manager.pool().stats().kept_bytes, kMiB);
  manager.configure({.memory_limit_ratio = 0.5, .memory_pool_size = 0, .memory_cleanup_interval = 1});
  EXPECT_EQ(manager.limit().cause, "50 % of physical memory");
  EXPECT_EQ(manager.ledger().cap_bytes(), 500 * kMiB);
  EXPECT_EQ(manager.pool().stats().kept_bytes, 0u);
  EXPECT_EQ(manager.after_operation({})->why, "1 operation");
}

TEST_F(MemoryManagerTest, keeps_its_options_where_its_memory_does_not_fit_the_new_limit) {
  MemoryManager manager({}, system_.files());
  const auto kv = *manager.ledger().reserve(MemoryPart::kv, 100 * kMiB);
  try {
    manager.configure({.memory_limit_ratio = 0.1, .memory_pool_size = 0});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::limit);
    EXPECT_EQ(std::string(error.what()),
              "memory limit: 100.0 MiB are not enough for what is held, 50.0 MiB missing (held: program "
              "50.0 MiB + kv 100.0 MiB)");
  }
  EXPECT_EQ(manager.limit().bytes, 800 * kMiB);
  EXPECT_EQ(manager.ledger().cap_bytes(), 800 * kMiB);
  { (void)manager.pool().allocate(kMiB, MemoryPart::scratch); }
  EXPECT_EQ(manager.pool().stats().kept_bytes, kMiB);
}

TEST(MemoryManager, runs_on_this_machine) {
  MemoryManager manager({});
  const MemoryReport report = manager.report();
  EXPECT_GT(report.limit.bytes, 0u);
  EXPECT_GT(report.ledger.of(MemoryPart::program).held_bytes, 0u);
  EXPECT_LE(report.limit.bytes, report.machine.total);
  EXPECT_TRUE(manager.pool().allocate(4 * kMiB, MemoryPart::vision));
}

}  // namespace
}  // namespace qvl
