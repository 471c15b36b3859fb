#include "profiler/energy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fake_system.h"

namespace qvl {
namespace {

using testing::IsEmpty;

void write_zone(const FakeSystem& system, const std::string& zone, const std::string& name,
                const char* energy) {
  const std::string folder = "/sys/class/powercap/" + zone;
  system.write(folder + "/name", name + "\n");
  system.write(folder + "/energy_uj", energy);
  system.write(folder + "/max_energy_range_uj", "262143328850\n");
}

TEST(Energy, is_that_of_whole_zones) {
  FakeSystem system;
  write_zone(system, "intel-rapl:0", "package-0", "1000000\n");
  write_zone(system, "intel-rapl:0:0", "core", "1000000\n");
  write_zone(system, "intel-rapl:1", "psys", "2000000\n");
  write_zone(system, "intel-rapl-mmio:0", "package-0", "1000000\n");
  const auto before = read_energy_counters(system.files());
  ASSERT_EQ(before.size(), 2);
  EXPECT_EQ(before[1].name, "psys");
  write_zone(system, "intel-rapl:0", "package-0", "31000000\n");
  const auto used = energy_use(before, read_energy_counters(system.files()), 2.0);
  ASSERT_EQ(used.size(), 2);
  EXPECT_EQ(used[0].name, "package-0");
  EXPECT_DOUBLE_EQ(used[0].joules, 30);
  EXPECT_DOUBLE_EQ(used[0].watts, 15);
  EXPECT_DOUBLE_EQ(used[1].joules, 0);
}

TEST(Energy, counts_on_where_the_counter_begins_at_zero) {
  const EnergyCounters before{
      .zone = "z", .name = "n", .energy_uj = 262'143'000'000, .range_uj = 262'143'328'850};
  EnergyCounters after = before;
  after.energy_uj = 671'150;  // 328,850 to the end, then these
  const auto used = energy_use({before}, {after}, 1.0);
  ASSERT_EQ(used.size(), 1);
  EXPECT_DOUBLE_EQ(used[0].joules, 1.0);
}

TEST(Energy, is_not_told_where_a_counter_went_backwards_for_another_reason) {
  const EnergyCounters before{.zone = "z", .name = "n", .energy_uj = 500, .range_uj = 100};
  EnergyCounters after{.zone = "z", .name = "n", .energy_uj = 10, .range_uj = 100};
  EXPECT_THAT(energy_use({before}, {after}, 1.0), IsEmpty());  // beyond its own range
  after.range_uj.reset();
  EXPECT_THAT(energy_use({before}, {after}, 1.0), IsEmpty());
  EXPECT_THAT(energy_use({}, {after}, 1.0), IsEmpty());
}

TEST(Energy, is_none_where_the_counters_are_damaged_or_missing) {
  FakeSystem system;
  EXPECT_THAT(read_energy_counters(system.files()), IsEmpty());
  for (const char* text : {"", "-1\n", "much\n", "99999999999999999999\n"}) {
    write_zone(system, "intel-rapl:0", "package-0", text);
    EXPECT_THAT(read_energy_counters(system.files()), IsEmpty()) << text;
  }
}

TEST(EnergyMeter, adds_up_the_packages_and_leaves_the_platform_out_that_has_them_in_it) {
  FakeSystem system;
  write_zone(system, "intel-rapl:0", "package-0", "1000000\n");
  write_zone(system, "intel-rapl:1", "package-1", "262143000000\n");
  write_zone(system, "intel-rapl:2", "psys", "0\n");
  EnergyMeter meter(system.files());
  EXPECT_EQ(meter.joules(), 0.0);
  write_zone(system, "intel-rapl:0", "package-0", "3000000\n");
  write_zone(system, "intel-rapl:1", "package-1", "671150\n");  // begins at zero: 1 J
  write_zone(system, "intel-rapl:2", "psys", "90000000\n");
  EXPECT_EQ(meter.joules(), 0.0);  // nothing is read before it is told to
  meter.advance();
  EXPECT_DOUBLE_EQ(*meter.joules(), 3.0);
  write_zone(system, "intel-rapl:0", "package-0", "3500000\n");
  meter.advance();
  EXPECT_DOUBLE_EQ(*meter.joules(), 3.5);
}

TEST(EnergyMeter, takes_the_platform_where_it_has_nothing_else) {
  FakeSystem system;
  write_zone(system, "intel-rapl:0", "psys", "1000000\n");
  EnergyMeter meter(system.files());
  write_zone(system, "intel-rapl:0", "psys", "2000000\n");
  meter.advance();
  EXPECT_DOUBLE_EQ(*meter.joules(), 1.0);
}

TEST(EnergyMeter, makes_up_for_a_time_in_which_nothing_could_be_read) {
  FakeSystem system;
  write_zone(system, "intel-rapl:0", "package-0", "1000000\n");
  EnergyMeter meter(system.files());
  system.remove("/sys/class/powercap");
  meter.advance();
  EXPECT_EQ(meter.joules(), 0.0);
  write_zone(system, "intel-rapl:0", "package-0", "6000000\n");
  meter.advance();
  EXPECT_DOUBLE_EQ(*meter.joules(), 5.0);
}

TEST(EnergyMeter, tells_nothing_where_there_are_no_counters) {
  FakeSystem system;
  EnergyMeter meter(system.files());
  meter.advance();
  EXPECT_EQ(meter.joules(), std::nullopt);
}

}  // namespace
}  // namespace qvl
