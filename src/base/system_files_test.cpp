#include "base/system_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fake_system.h"

namespace qvl {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> folders(const FakeSystem& system, std::string_view controller) {
  std::vector<std::string> out;
  for (const Cgroup& group : enclosing_cgroups(system.files(), controller)) {
    out.push_back((group.version == Cgroup::Version::v1 ? "1 " : "2 ") + group.folder);
  }
  return out;
}

TEST(SystemFiles, reads_whole_files_lines_and_numbers) {
  FakeSystem system;
  const std::string large(100'000, 'x');
  system.write("/proc/large", large);
  system.write("/proc/lines", "first\nsecond\n");
  system.write("/sys/number", " 42\n");
  system.write("/sys/words", "42 kB\n");
  const SystemFiles files = system.files();
  EXPECT_EQ(files.read("/proc/large"), large);
  EXPECT_EQ(files.first_line("/proc/lines"), "first");
  EXPECT_EQ(files.number("/sys/number"), 42);
  EXPECT_EQ(files.number("/sys/words"), std::nullopt);
  EXPECT_EQ(files.read("/proc/missing"), std::nullopt);
  EXPECT_EQ(files.first_line("/proc/missing"), std::nullopt);
  EXPECT_EQ(files.read("/proc"), std::nullopt);
  EXPECT_THAT(files.names("/sys"), ElementsAre("number", "words"));
  EXPECT_THAT(files.names("/missing"), IsEmpty());
}

TEST(SystemFiles, reads_no_more_than_a_megabyte) {
  FakeSystem system;
  system.write("/proc/large", std::string((1 << 20) + 5, 'x'));
  EXPECT_EQ(system.files().read("/proc/large")->size(), 1 << 20);
}

TEST(SystemFiles, parses_whole_numbers_only) {
  EXPECT_EQ(parse_whole("-7\n"), -7);
  EXPECT_EQ(parse_whole(""), std::nullopt);
  EXPECT_EQ(parse_whole("7.5"), std::nullopt);
  EXPECT_EQ(parse_whole("99999999999999999999"), std::nullopt);
}

TEST(Cgroups, are_those_of_version_2_from_the_own_one_to_the_root) {
  FakeSystem system;
  system.write("/proc/self/cgroup", "0::/user/session\n");
  system.write("/sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
  system.write("/sys/fs/cgroup/user/session/cpu.max", "max 100000\n");
  EXPECT_THAT(folders(system, "cpu"),
              ElementsAre("2 /sys/fs/cgroup/user/session", "2 /sys/fs/cgroup/user", "2 /sys/fs/cgroup"));
}

TEST(Cgroups, are_those_of_version_1_that_have_the_controller) {
  FakeSystem system;
  system.write("/proc/self/cgroup", "4:memory:/jobs/one\n3:cpu,cpuacct:/jobs\n1:name=systemd:/\n");
  system.write("/sys/fs/cgroup/memory/jobs/one/memory.limit_in_bytes", "1\n");
  system.write("/sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us", "-1\n");
  EXPECT_THAT(folders(system, "memory"),
              ElementsAre("1 /sys/fs/cgroup/memory/jobs/one", "1 /sys/fs/cgroup/memory/jobs",
                          "1 /sys/fs/cgroup/memory"));
  EXPECT_THAT(folders(system, "cpu"),
              ElementsAre("1 /sys/fs/cgroup/cpu,cpuacct/jobs", "1 /sys/fs/cgroup/cpu,cpuacct"));
}

TEST(Cgroups, of_a_host_path_inside_a_container_are_the_root_alone) {
  FakeSystem system;
  system.write("/proc/self/cgroup", "5:cpu:/docker/0123\n0::/docker/0123\n");
  system.write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
  system.write("/sys/fs/cgroup/unified/cgroup.controllers", "\n");
  EXPECT_THAT(folders(system, "cpu"), ElementsAre("1 /sys/fs/cgroup/cpu", "2 /sys/fs/cgroup/unified"));
}

TEST(Cgroups, are_none_where_the_kernel_tells_none) {
  FakeSystem system;
  EXPECT_THAT(folders(system, "cpu"), IsEmpty());
  system.write("/proc/self/cgroup", "nonsense\n7\n");
  EXPECT_THAT(folders(system, "cpu"), IsEmpty());
}

}  // namespace
}  // namespace qvl
