#include "threads/cpu_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "threads/fake_machine.h"
#include "threads/os_thread.h"

namespace qvl {
namespace {

using testing::ElementsAre;

void set_v2_quota(const FakeSystem& system, std::string_view folder, std::string_view text) {
  system.write("/proc/self/cgroup", "0::/a/b\n");
  system.write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu memory\n");
  system.write(fmt::format("/sys/fs/cgroup{}/cpu.max", folder), text);
}

CpuBudget budget_of(const FakeSystem& system, const CpuSet& permitted) {
  return make_cpu_budget(read_topology(system.files(), permitted), permitted, read_cpu_quota(system.files()));
}

TEST(CpuBudget, takes_one_thread_of_each_core_first) {
  FakeSystem system;
  make_laptop(system);
  const CpuBudget budget = budget_of(system, {0, 1, 2, 3, 4, 5, 6, 7});
  EXPECT_THAT(budget.cpus, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_EQ(budget.cores, 4);
  EXPECT_EQ(budget.threads, 8);
  EXPECT_EQ(budget.cause, "8 threads: CPUs 0-7 on 4 cores");
}

TEST(CpuBudget, takes_the_second_thread_of_a_core_whose_first_is_not_permitted) {
  FakeSystem system;
  make_laptop(system);
  const CpuBudget budget = budget_of(system, {1, 4, 5, 6});
  EXPECT_THAT(budget.cpus, ElementsAre(1, 4, 6, 5));
  EXPECT_EQ(budget.cores, 3);
  EXPECT_EQ(budget.cause, "4 threads: CPUs 1,4-6 on 3 cores");
}

TEST(CpuBudget, takes_performance_then_efficiency_cores_and_shared_cores_last) {
  FakeSystem system;
  make_hybrid(system);
  system.write("/sys/devices/cpu_core/cpus", "0-3\n");
  EXPECT_THAT(budget_of(system, {0, 1, 2, 3, 4, 5, 6, 7}).cpus, ElementsAre(0, 2, 4, 5, 6, 7, 1, 3));
}

TEST(CpuBudget, fills_one_package_before_the_next_the_larger_one_first) {
  FakeSystem system;
  make_two_packages(system);
  EXPECT_THAT(budget_of(system, {0, 1, 2, 3, 4, 5, 6, 7}).cpus, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_THAT(budget_of(system, {0, 2, 3, 4, 6, 7}).cpus, ElementsAre(2, 3, 0, 6, 7, 4));
}

TEST(CpuBudget, counts_cpus_that_the_topology_does_not_know) {
  FakeSystem system;
  set_online(system, "0-1");
  const CpuBudget budget = make_cpu_budget(read_topology(system.files(), {0}), {1, 9}, std::nullopt);
  EXPECT_THAT(budget.cpus, ElementsAre(1, 9));
  EXPECT_EQ(budget.cores, 2);
}

TEST(CpuBudget, keeps_a_fractional_quota_and_rounds_its_threads_down) {
  struct Row {
    const char* quota;
    double cpus;
    int threads;
  };
  for (const Row& row :
       {Row{"150000 100000", 1.5, 1}, Row{"250000 100000", 2.5, 2}, Row{"399999 100000", 3.99999, 3},
        Row{"400000 100000", 4, 4}, Row{"20000 100000", 0.2, 1}, Row{"900000 100000", 9, 4}}) {
    FakeSystem system;
    set_v2_quota(system, "/a", row.quota);
    const CpuBudget budget = budget_of(system, {0, 1, 2, 3});
    ASSERT_TRUE(budget.quota) << row.quota;
    EXPECT_DOUBLE_EQ(budget.quota->cpus, row.cpus);
    EXPECT_EQ(budget.quota->folder, "/sys/fs/cgroup/a");
    EXPECT_EQ(budget.threads, row.threads) << row.quota;
  }
}

TEST(CpuBudget, says_which_group_limits_it) {
  FakeSystem system;
  set_v2_quota(system, "/a/b", "250000 100000\n");
  EXPECT_EQ(budget_of(system, {0, 1, 2}).cause,
            "2 threads: CPUs 0-2 on 3 cores, quota 2.5 of /sys/fs/cgroup/a/b");
  EXPECT_EQ(budget_of(system, {1}).cause, "1 thread: CPU 1 on 1 core, quota 2.5 of /sys/fs/cgroup/a/b");
}

TEST(CpuQuota, is_the_least_of_all_enclosing_groups) {
  FakeSystem system;
  set_v2_quota(system, "/a/b", "300000 100000\n");
  set_v2_quota(system, "/a", "50000 20000\n");
  set_v2_quota(system, "", "max 100000\n");
  EXPECT_EQ(read_cpu_quota(system.files()), (CpuQuota{.cpus = 2.5, .folder = "/sys/fs/cgroup/a"}));
}

TEST(CpuQuota, is_read_from_version_1) {
  FakeSystem system;
  system.write("/proc/self/cgroup", "4:cpuset:/x\n3:cpu,cpuacct:/a\n");
  system.write("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n");
  system.write("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(read_cpu_quota(system.files()), std::nullopt);
  system.write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "175000\n");
  system.write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(read_cpu_quota(system.files()), (CpuQuota{.cpus = 1.75, .folder = "/sys/fs/cgroup/cpu,cpuacct"}));
}

TEST(CpuQuota, is_none_where_the_file_is_garbage) {
  for (const char* text : {"", "\n", "max", "max 100000", "100000", "0 100000", "-5 100000", "100000 0",
                           "1e5 100000", "99999999999999999999 100000", "100000 100000 7", "nan inf"}) {
    FakeSystem system;
    set_v2_quota(system, "/a/b", text);
    EXPECT_EQ(read_cpu_quota(system.files()), std::nullopt) << text;
  }
}

TEST(Cpuset, is_that_of_the_nearest_group_that_tells) {
  FakeSystem system;
  system.write("/proc/self/cgroup", "0::/a/b\n");
  system.write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu\n");
  system.write("/sys/fs/cgroup/a/cpuset.cpus.effective", "0-1,4\n");
  system.write("/sys/fs/cgroup/cpuset.cpus.effective", "0-7\n");
  EXPECT_EQ(read_cpuset(system.files()), (CpuSet{0, 1, 4}));
  system.write("/sys/fs/cgroup/a/cpuset.cpus.effective", "\n");
  EXPECT_EQ(read_cpuset(system.files()), (CpuSet{0, 1, 2, 3, 4, 5, 6, 7}));
  system.remove("/sys");
  EXPECT_EQ(read_cpuset(system.files()), std::nullopt);
}

TEST(Cpuset, is_read_from_version_1) {
  FakeSystem system;
  system.write("/proc/self/cgroup", "4:cpuset:/x\n");
  system.write("/sys/fs/cgroup/cpuset/x/cpuset.effective_cpus", "2-3\n");
  EXPECT_EQ(read_cpuset(system.files()), (CpuSet{2, 3}));
}

TEST(AffinityMask, cuts_the_affinity) {
  EXPECT_EQ(masked_affinity({0, 1, 4}, std::nullopt), (CpuSet{0, 1, 4}));
  EXPECT_EQ(masked_affinity({0, 1, 4}, CpuSet{1, 2, 4}), (CpuSet{1, 4}));
}

TEST(AffinityMask, that_leaves_nothing_is_an_error_of_use) {
  try {
    masked_affinity({0, 1, 4}, CpuSet{5, 64});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::usage);
    EXPECT_STREQ(
        error.what(),
        "cpu_affinity_mask: found 0x10000000000000020, expected at least one CPU of 0x13 (CPUs 0-1,4)");
  }
}

TEST(CpuBudget, follows_the_affinity_of_the_calling_thread) {
  const ThreadId self = this_thread_id();
  const CpuSet before = thread_affinity(self);
  EXPECT_LE(cpu_budget().threads, before.size());
  const CpuSet one{*before.begin()};
  ASSERT_TRUE(set_thread_affinity(self, one));
  EXPECT_THAT(cpu_budget().cpus, ElementsAre(*before.begin()));
  EXPECT_EQ(cpu_budget().threads, 1);
  ASSERT_TRUE(set_thread_affinity(self, before));
  EXPECT_EQ(static_cast<int>(cpu_budget().cpus.size()), before.size());
}

}  // namespace
}  // namespace qvl
