#include "memory/memory_limit.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/fake_system.h"
#include "memory/page_size.h"

namespace qvl {
namespace {

void expect_limit(const FakeSystem& system, uint64_t bytes, std::string_view cause) {
  const MemoryLimit found = memory_limit(system.files());
  EXPECT_EQ(found.bytes, bytes);
  EXPECT_EQ(found.cause, cause);
}

void write_machine(const FakeSystem& system) { system.write("/proc/meminfo", "MemTotal: 1000 kB\n"); }

TEST(MemoryLimit, is_the_physical_memory_outside_of_groups) {
  FakeSystem system;
  write_machine(system);
  expect_limit(system, 1'024'000, "physical memory");
}

TEST(MemoryLimit, tells_who_asked_for_more_what_is_left_of_it_and_why) {
  FakeSystem system;
  write_machine(system);
  EXPECT_EQ(told_if_lowered(1'024'000, system.files()), std::nullopt);
  EXPECT_EQ(told_if_lowered(1'024'001, system.files()),
            "memory limit: found 1000.0 KiB, lowered to the 1000.0 KiB of physical memory");
  system.write("/proc/self/cgroup", "0::/jobs\n");
  system.write("/sys/fs/cgroup/cgroup.controllers", "memory\n");
  system.write("/sys/fs/cgroup/jobs/memory.max", "512000\n");
  EXPECT_EQ(told_if_lowered(uint64_t{1} << 40, system.files()),
            "memory limit: found 1.0 TiB, lowered to the 500.0 KiB of cgroup /sys/fs/cgroup/jobs memory.max");
}

TEST(MemoryLimit, is_the_least_of_all_enclosing_groups_of_version_2) {
  FakeSystem system;
  write_machine(system);
  system.write("/proc/self/cgroup", "0::/jobs/one\n");
  system.write("/sys/fs/cgroup/cgroup.controllers", "memory\n");
  system.write("/sys/fs/cgroup/jobs/one/memory.max", "max\n");
  system.write("/sys/fs/cgroup/jobs/one/memory.high", "max\n");
  expect_limit(system, 1'024'000, "physical memory");
  system.write("/sys/fs/cgroup/jobs/memory.max", "500000\n");
  expect_limit(system, 500'000, "cgroup /sys/fs/cgroup/jobs memory.max");
  system.write("/sys/fs/cgroup/jobs/one/memory.max", "600000\n");
  expect_limit(system, 500'000, "cgroup /sys/fs/cgroup/jobs memory.max");
  system.write("/sys/fs/cgroup/jobs/one/memory.high", "400000\n");
  expect_limit(system, 400'000, "cgroup /sys/fs/cgroup/jobs/one memory.high");
}

TEST(MemoryLimit, is_the_least_of_all_enclosing_groups_of_version_1) {
  FakeSystem system;
  write_machine(system);
  system.write("/proc/self/cgroup", "4:memory:/jobs/one\n");
  system.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  system.write("/sys/fs/cgroup/memory/jobs/one/memory.limit_in_bytes", "9223372036854771712\n");
  expect_limit(system, 1'024'000, "physical memory");
  system.write("/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes", "700000\n");
  expect_limit(system, 700'000, "cgroup /sys/fs/cgroup/memory/jobs memory.limit_in_bytes");
}

TEST(MemoryLimit, counts_ancestors_of_version_1_that_a_container_hides) {
  FakeSystem system;
  write_machine(system);
  system.write("/proc/self/cgroup", "4:memory:/docker/0123\n");
  system.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "900000\n");
  system.write("/sys/fs/cgroup/memory/memory.stat",
               "cache 100\nhierarchical_memory_limit 300000\nhierarchical_memsw_limit 200000\n");
  expect_limit(system, 300'000, "cgroup /sys/fs/cgroup/memory hierarchical_memory_limit");
}

TEST(MemoryLimit, ignores_files_that_make_no_sense) {
  FakeSystem system;
  write_machine(system);
  system.write("/proc/self/cgroup", "4:memory:/\n0::/\n");
  system.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "-1\n");
  system.write("/sys/fs/cgroup/memory/memory.stat",
               "hierarchical_memory_limit\nhierarchical_memory_limit x\n");
  system.write("/sys/fs/cgroup/unified/cgroup.controllers", "memory\n");
  system.write("/sys/fs/cgroup/unified/memory.max", "99999999999999999999\n");
  system.write("/sys/fs/cgroup/unified/memory.high", "12 34\n");
  expect_limit(system, 1'024'000, "physical memory");
}

TEST(MemoryLimit, is_the_systems_count_of_pages_where_the_machine_does_not_tell) {
  FakeSystem system;
  const uint64_t physical = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * page_size();
  expect_limit(system, physical, "physical memory");
  system.write("/proc/meminfo", "MemTotal: -5 kB\n");
  system.write("/proc/self/cgroup", "4:memory:/jobs\n");
  system.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  system.write("/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes", "9223372036854771712\n");
  expect_limit(system, physical, "physical memory");
  EXPECT_EQ(told_if_lowered(physical, system.files()), std::nullopt);
}

TEST(MemoryLimit, is_that_of_a_group_that_allows_nothing) {
  FakeSystem system;
  system.write("/proc/self/cgroup", "0::/\n");
  system.write("/sys/fs/cgroup/cgroup.controllers", "memory\n");
  system.write("/sys/fs/cgroup/memory.max", "0\n");
  expect_limit(system, 0, "cgroup /sys/fs/cgroup memory.max");
}

}  // namespace
}  // namespace qvl
