#include "profiler/disks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fake_system.h"

namespace qvl {
namespace {

using testing::IsEmpty;

class Disks : public testing::Test {
 protected:
  Disks() {
    add_device("nvme0n1");
    add_device("sda");
    add_device("cciss!c0d0");
    system_.write("/sys/block/loop0/size", "8\n");
    system_.write("/sys/block/dm-0/size", "8\n");
  }
  void add_device(const std::string& name) const {
    system_.write("/sys/block/" + name + "/device/vendor", "x\n");
  }
  std::vector<DiskCounters> counters(const std::string& text) const {
    system_.write("/proc/diskstats", text);
    return read_disk_counters(system_.files());
  }

  FakeSystem system_;
};

constexpr char kStats[] =
    "   7       0 loop0 5 0 10 1 0 0 0 0 0 1 1\n"
    " 259       0 nvme0n1 37191 6642 4090266 18476 139654 26652 32053888 100359 0 11796 120445 6442 0 1 2 3 "
    "4\n"
    " 259       1 nvme0n1p1 9 9 99 9 9 9 99 9 0 9 9\n"
    "   8       0 sda 1 0 8 1 2 0 16 1 0 4294967000 1\n"
    " 253       0 dm-0 5 0 10 1 0 0 0 0 0 1 1\n"
    " 104       0 cciss/c0d0 1 0 2 1 1 0 4 1 0 7 1\n";

TEST_F(Disks, are_the_devices_with_hardware_of_their_own) {
  const auto disks = counters(kStats);
  ASSERT_EQ(disks.size(), 3);
  EXPECT_EQ(disks[0].name, "nvme0n1");
  EXPECT_EQ(disks[0].read_bytes, 4090266ULL * 512);
  EXPECT_EQ(disks[0].written_bytes, 32053888ULL * 512);
  EXPECT_EQ(disks[0].busy_ms, 11796U);
  EXPECT_EQ(disks[1].name, "sda");
  EXPECT_EQ(disks[2].name, "cciss!c0d0");
}

TEST_F(Disks, have_loads_over_the_time_between_two_readings) {
  const auto before = counters(kStats);
  const auto after = counters(
      " 259 0 nvme0n1 37191 6642 4092266 18476 139654 26652 32053888 100359 0 12296 120445\n"
      "   8 0 sda 1 0 8 1 2 0 24 1 0 204 1\n");  // the milliseconds wrapped at 32 bits: 296 + 204
  const auto loads = disk_loads(before, after, 2.0);
  ASSERT_EQ(loads.size(), 2);
  EXPECT_DOUBLE_EQ(*loads[0].read_bytes_per_s, 2000 * 512 / 2.0);
  EXPECT_DOUBLE_EQ(*loads[0].written_bytes_per_s, 0);
  EXPECT_DOUBLE_EQ(*loads[0].busy, 0.25);
  EXPECT_DOUBLE_EQ(*loads[1].written_bytes_per_s, 8 * 512 / 2.0);
  EXPECT_DOUBLE_EQ(*loads[1].busy, 0.25);
}

TEST_F(Disks, that_are_new_or_count_backwards_have_no_load) {
  const auto before = counters("8 0 sda 9 0 900 1 2 0 16 1 0 500 1\n");
  const auto after = counters("8 0 sda 1 0 8 1 2 0 17 1 0 400 1\n259 0 nvme0n1 1 1 1 1 1 1 1 1 1 1 1\n");
  const auto loads = disk_loads(before, after, 1.0);
  ASSERT_EQ(loads.size(), 1);
  EXPECT_EQ(loads[0].read_bytes_per_s, std::nullopt);
  EXPECT_EQ(loads[0].written_bytes_per_s, 512.0);
  EXPECT_EQ(loads[0].busy, std::nullopt);
}

TEST_F(Disks, are_never_busy_for_longer_than_the_interval) {
  const auto loads = disk_loads(counters("8 0 sda 1 1 1 1 1 1 1 1 1 100 1\n"),
                                counters("8 0 sda 1 1 1 1 1 1 1 1 1 1150 1\n"), 1.0);
  EXPECT_EQ(loads[0].busy, 1.0);
}

TEST_F(Disks, in_lines_that_are_damaged_are_left_out) {
  EXPECT_THAT(counters(""), IsEmpty());
  EXPECT_THAT(counters("garbage\n\n8 0 sda\n8 0 sda 1 2 3\n8 0 sda 1 2 x 4 5 6 7 8 9 10\n"), IsEmpty());
  EXPECT_THAT(counters("8 0 sda 1 1 99999999999999999 1 1 1 1 1 1 1\n"), IsEmpty());  // bytes overflow
  EXPECT_THAT(read_disk_counters(FakeSystem().files()), IsEmpty());
}

TEST_F(Disks, have_facts) {
  system_.write("/sys/block/nvme0n1/device/model", "Samsung SSD 980 500GB                   \n");
  system_.write("/sys/block/nvme0n1/size", "976773168\n");
  system_.write("/sys/block/nvme0n1/queue/rotational", "0\n");
  system_.write("/sys/block/sda/queue/rotational", "1\n");
  system_.write("/sys/block/sda/size", "-5\n");
  const auto disks = read_disk_facts(system_.files());
  ASSERT_EQ(disks.size(), 3);
  EXPECT_EQ(disks[1].name, "nvme0n1");
  EXPECT_EQ(disks[1].model, "Samsung SSD 980 500GB");
  EXPECT_EQ(disks[1].size_bytes, 976773168ULL * 512);
  EXPECT_EQ(disks[1].kind, DiskKind::solid_state);
  EXPECT_EQ(disks[2].kind, DiskKind::rotating);
  EXPECT_EQ(disks[2].size_bytes, std::nullopt);
  EXPECT_EQ(disks[0].kind, DiskKind::unknown);
}

}  // namespace
}  // namespace qvl
