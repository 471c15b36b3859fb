#include "profiler/pressure.h"

#include <gtest/gtest.h>

#include "base/fake_system.h"

namespace qvl {
namespace {

TEST(Pressure, is_read_for_each_resource_that_has_a_file) {
  FakeSystem system;
  system.write("/proc/pressure/cpu", "some avg10=12.34 avg60=5.60 avg300=1.00 total=123456789\n");
  system.write(
      "/proc/pressure/memory",
      "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=100.00 avg60=0.50 avg300=0.00 total=7\n");
  const PressureSet set = read_machine_pressure(system.files());
  ASSERT_TRUE(set.cpu && set.cpu->some);
  EXPECT_DOUBLE_EQ(set.cpu->some->avg10, 12.34);
  EXPECT_DOUBLE_EQ(set.cpu->some->avg60, 5.6);
  EXPECT_EQ(set.cpu->some->total_us, 123456789U);
  EXPECT_FALSE(set.cpu->full);
  ASSERT_TRUE(set.memory && set.memory->full);
  EXPECT_DOUBLE_EQ(set.memory->full->avg10, 100);
  EXPECT_EQ(set.memory->full->total_us, 7U);
  EXPECT_FALSE(set.io);
}

TEST(Pressure, of_the_own_group_is_that_of_the_nearest_one_of_version_2) {
  FakeSystem system;
  system.write("/proc/self/cgroup", "4:memory:/old\n0::/user/qvl\n");
  system.write("/sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
  system.write("/sys/fs/cgroup/memory/old/memory.pressure",
               "some avg10=9.00 avg60=9.00 avg300=9.00 total=9\n");
  system.write("/sys/fs/cgroup/user/memory.pressure", "some avg10=8.00 avg60=8.00 avg300=8.00 total=8\n");
  system.write("/sys/fs/cgroup/user/qvl/memory.pressure", "some avg10=2.00 avg60=1.00 avg300=0.00 total=3\n");
  const PressureSet set = read_own_pressure(system.files());
  ASSERT_TRUE(set.memory && set.memory->some);
  EXPECT_DOUBLE_EQ(set.memory->some->avg10, 2);
  EXPECT_FALSE(set.cpu);
}

TEST(Pressure, is_none_without_files_and_for_what_no_kernel_writes) {
  FakeSystem system;
  EXPECT_FALSE(read_machine_pressure(system.files()).cpu);
  EXPECT_FALSE(read_own_pressure(system.files()).cpu);
  for (const char* text :
       {"", "some\n", "some avg10=101.00 avg60=0.00 avg300=0.00 total=0\n",
        "some avg10=-1 avg60=0.00 avg300=0.00 total=0\n", "some avg10=nan avg60=0 avg300=0 total=0\n",
        "some avg60=0.00 avg10=0.00 avg300=0.00 total=0\n", "some avg10=0 avg60=0 avg300=0 total=x\n",
        "much avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"}) {
    system.write("/proc/pressure/io", text);
    EXPECT_FALSE(read_machine_pressure(system.files()).io) << text;
  }
}

}  // namespace
}  // namespace qvl
