#include "optimizer/hardware_facts.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include "base/fake_system.h"
#include "memory/memory_limit.h"
#include "optimizer/machine_config.h"

namespace qvl {
namespace {

constexpr uint64_t kGibibyte = uint64_t{1} << 30;

uint64_t physical_memory() {
  return static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

// A laptop: two cores of two threads, and four slower cores.
void write_laptop(const FakeSystem& system) {
  system.write("/proc/self/status", "Name:\tqvl\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7\n");
  system.write("/proc/cpuinfo", "processor\t: 0\nmodel name\t: Example CPU @ 1.60GHz\n");
  system.write("/proc/meminfo", "MemTotal:       10485760 kB\nMemFree:  1 kB\n");
  system.write("/proc/loadavg", "1.25 0.50 0.25 1/99 7\n");
  system.write("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
  system.write("/sys/devices/cpu_atom/cpus", "4-7\n");
  const char* siblings[] = {"0-1", "0-1", "2,3", "2,3", "4", "5", "6", "7"};
  for (int cpu = 0; cpu < 8; ++cpu) {
    system.write("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list",
                 std::string(siblings[cpu]) + "\n");
  }
}

TEST(HardwareFacts, of_a_laptop_with_two_kinds_of_cores) {
  const FakeSystem system;
  write_laptop(system);
  const HardwareFacts facts = read_hardware(system.files());
  EXPECT_EQ(facts.processor, "Example CPU @ 1.60GHz");
  ASSERT_EQ(facts.cpus.size(), 8u);
  EXPECT_EQ(facts.cores(), 6);
  EXPECT_EQ(facts.cpus[3].core, 2);
  EXPECT_EQ(facts.cpus[3].kind, CpuFacts::Kind::performance);
  EXPECT_EQ(facts.cpus[7].kind, CpuFacts::Kind::efficiency);
  EXPECT_EQ(facts.memory_bytes, 10 * kGibibyte);
  EXPECT_EQ(facts.usable_memory(), 10 * kGibibyte);
  EXPECT_EQ(facts.cpu_quota, std::nullopt);
  EXPECT_EQ(facts.huge_pages, HugePageSupport::on_advice);
  EXPECT_EQ(facts.foreign_load, 1.25);
  EXPECT_EQ(facts.isas.front(), Isa::scalar);
}

TEST(HardwareFacts, without_any_file_the_system_is_asked_or_nothing_is_assumed) {
  const FakeSystem system;
  const HardwareFacts facts = read_hardware(system.files());
  cpu_set_t set;
  ASSERT_EQ(::sched_getaffinity(0, sizeof set, &set), 0);
  EXPECT_EQ(facts.processor, "");
  EXPECT_EQ(facts.cpus.size(), static_cast<size_t>(CPU_COUNT(&set)));
  EXPECT_EQ(facts.cores(), CPU_COUNT(&set));
  EXPECT_EQ(facts.memory_bytes, physical_memory());
  EXPECT_EQ(facts.memory_limit_bytes, std::nullopt);
  EXPECT_EQ(facts.huge_pages, HugePageSupport::never);
  EXPECT_EQ(facts.foreign_load, 0);
}

TEST(HardwareFacts, others_keep_no_more_processors_busy_than_there_are) {
  const FakeSystem system;
  write_laptop(system);
  system.write("/proc/loadavg", "12000.75 0.50 0.25 1/99 7\n");
  EXPECT_EQ(read_hardware(system.files()).foreign_load, 8);
  system.write("/proc/self/status", "Cpus_allowed_list:\t0-1\n");
  system.write("/proc/loadavg", "3.42 0.50 0.25 1/99 7\n");
  EXPECT_EQ(read_hardware(system.files()).foreign_load, 2);
  for (const std::string none : {"inf", "nan", "-1", "1e999"}) {
    system.write("/proc/loadavg", none + " 0.50 0.25 1/99 7\n");
    EXPECT_EQ(read_hardware(system.files()).foreign_load, 0) << none;
  }
}

TEST(HardwareFacts, a_memory_that_is_no_number_is_asked_of_the_system) {
  const FakeSystem system;
  for (const std::string value : {"abc kB", "-1 kB", "0 kB", "12", "99999999999999999999 kB", ""}) {
    system.write("/proc/meminfo", "MemTotal: " + value + "\n");
    EXPECT_EQ(read_hardware(system.files()).memory_bytes, physical_memory()) << value;
  }
  system.write("/proc/meminfo", "MemTotal: 9223372036854775807 kB\n");  // times 1024 there is no such number
  EXPECT_EQ(read_hardware(system.files()).memory_bytes, physical_memory());
}

TEST(HardwareFacts, the_least_limit_of_all_enclosing_groups_counts) {
  const FakeSystem system;
  write_laptop(system);
  system.write("/proc/self/cgroup", "0::/outer/inner\n");
  system.write("/sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
  system.write("/sys/fs/cgroup/outer/inner/cpu.max", "max 100000\n");
  system.write("/sys/fs/cgroup/outer/inner/memory.max", "4294967296\n");
  system.write("/sys/fs/cgroup/outer/cpu.max", "150000 100000\n");
  system.write("/sys/fs/cgroup/outer/memory.max", "2147483648\n");
  const HardwareFacts facts = read_hardware(system.files());
  EXPECT_EQ(facts.cpu_quota, 1.5);
  EXPECT_EQ(facts.usable_memory(), 2 * kGibibyte);
}

TEST(HardwareFacts, limits_are_those_that_running_keeps_to) {
  const FakeSystem system;
  write_laptop(system);
  system.write("/proc/self/cgroup", "0::/jobs\n");
  system.write("/sys/fs/cgroup/cgroup.controllers", "memory\n");
  system.write("/sys/fs/cgroup/jobs/memory.max", "999999999999999\n");  // more than there is
  EXPECT_EQ(read_hardware(system.files()).memory_limit_bytes, std::nullopt);
  system.write("/sys/fs/cgroup/jobs/memory.high", "3221225472\n");
  EXPECT_EQ(read_hardware(system.files()).memory_limit_bytes, memory_limit(system.files()).bytes);
  EXPECT_EQ(read_hardware(system.files()).usable_memory(), 3 * kGibibyte);
}

TEST(HardwareFacts, groups_of_version_1_are_read_too) {
  const FakeSystem system;
  write_laptop(system);
  system.write("/proc/self/cgroup", "3:memory:/g\n2:cpu,cpuacct:/g\n");
  system.write("/sys/fs/cgroup/cpu,cpuacct/g/cpu.cfs_quota_us", "50000\n");
  system.write("/sys/fs/cgroup/cpu,cpuacct/g/cpu.cfs_period_us", "100000\n");
  system.write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  system.write("/sys/fs/cgroup/memory/g/memory.limit_in_bytes", "1073741824\n");
  system.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  const HardwareFacts facts = read_hardware(system.files());
  EXPECT_EQ(facts.cpu_quota, 0.5);
  EXPECT_EQ(facts.usable_memory(), kGibibyte);
}

TEST(HardwareFacts, hostile_files_count_as_absent) {
  const FakeSystem system;
  write_laptop(system);
  system.write("/proc/loadavg", "-3 nonsense\n");
  system.write("/proc/self/cgroup", "0::/\n");
  system.write("/sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
  system.write("/sys/fs/cgroup/cpu.max", "100000\n");
  system.write("/sys/fs/cgroup/memory.max", "many\n");
  for (const std::string list : {"0-99999999999", "3-1", "a", "-1", "0-", "0-9000"}) {
    system.write("/proc/self/status", "Cpus_allowed_list:\t" + list + "\n");
    const HardwareFacts facts = read_hardware(system.files());
    EXPECT_LE(facts.cpus.size(), 1024u) << list;
    EXPECT_EQ(facts.cpu_quota, std::nullopt);
    EXPECT_EQ(facts.memory_limit_bytes, std::nullopt);
    EXPECT_EQ(facts.foreign_load, 0);
  }
}

TEST(HardwareFacts, the_fingerprint_changes_with_what_choices_depend_on) {
  HardwareFacts facts{.processor = "Example",
                      .cpus = {{.cpu = 0, .core = 0}, {.cpu = 1, .core = 0}},
                      .isas = {Isa::scalar, Isa::avx2},
                      .memory_bytes = 8 * kGibibyte - 300'000'000};
  const std::string first = fingerprint(facts);
  EXPECT_EQ(first, "Example; 1 cores, 2 threads; 8 GiB; scalar avx2");
  facts.memory_bytes -= 1'000'000;  // a kernel takes a little more or less
  facts.foreign_load = 3;
  EXPECT_EQ(fingerprint(facts), first);
  facts.isas.push_back(Isa::avx512);
  EXPECT_NE(fingerprint(facts), first);
}

TEST(MachineConfig, has_a_thread_for_each_core_whatever_the_quota_of_the_moment) {
  const FakeSystem system;
  write_laptop(system);
  HardwareFacts facts = read_hardware(system.files());
  EXPECT_EQ(config_for(facts), (SystemOptimizationConfig{.num_compute_threads = 6}));
  facts.cpu_quota = 0.5;
  EXPECT_EQ(config_for(facts), (SystemOptimizationConfig{.num_compute_threads = 6}));
  facts.cpus.resize(3);  // two threads of one core, one of another
  EXPECT_EQ(config_for(facts).num_compute_threads, 2);
  EXPECT_EQ(config_for(facts).num_preprocess_threads, 3);
  facts.memory_limit_bytes = kGibibyte;
  EXPECT_EQ(config_for(facts).memory_pool_size, 32 << 20);
  EXPECT_NO_THROW(validate(config_for(facts)));
}

TEST(MachineConfig, of_this_machine_is_valid) {
  const auto config = SystemOptimizationConfig::for_this_machine();
  EXPECT_NO_THROW(validate(config));
  EXPECT_EQ(config, config_for(read_hardware(SystemFiles())));
}

}  // namespace
}  // namespace qvl
