#include "profiler/sensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fake_system.h"

namespace qvl {
namespace {

using testing::IsEmpty;

TEST(Frequencies, come_in_the_order_of_processors) {
  FakeSystem system;
  for (const char* cpu : {"cpu0", "cpu2", "cpu10"}) {
    system.write("/sys/devices/system/cpu/" + std::string(cpu) + "/cpufreq/scaling_max_freq", "4200000\n");
  }
  system.write("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1600000\n");
  system.write("/sys/devices/system/cpu/cpu10/cpufreq/scaling_cur_freq", "4187250\n");
  system.write("/sys/devices/system/cpu/cpu2/cpufreq/scaling_cur_freq", "2100000\n");
  system.write("/sys/devices/system/cpu/cpu3/cpufreq/scaling_cur_freq", "0\n");
  system.write("/sys/devices/system/cpu/cpu4/cpufreq/scaling_cur_freq", "<unknown>\n");
  system.write("/sys/devices/system/cpu/cpufreq/boost", "1\n");
  const auto frequencies = read_frequencies(system.files());
  ASSERT_EQ(frequencies.size(), 3);
  EXPECT_EQ(frequencies[1].cpu, 2);
  EXPECT_EQ(frequencies[2].cpu, 10);
  EXPECT_DOUBLE_EQ(frequencies[2].mhz, 4187.25);
  EXPECT_DOUBLE_EQ(*frequencies[2].most_mhz, 4200);
  EXPECT_THAT(read_frequencies(FakeSystem().files()), IsEmpty());
}

TEST(Temperatures, are_those_of_zones_and_of_chips) {
  FakeSystem system;
  system.write("/sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n");
  system.write("/sys/class/thermal/thermal_zone0/temp", "61000\n");
  system.write("/sys/class/thermal/thermal_zone1/temp", "27800\n");
  system.write("/sys/class/thermal/cooling_device0/type", "Processor\n");
  system.write("/sys/class/hwmon/hwmon3/name", "coretemp\n");
  system.write("/sys/class/hwmon/hwmon3/temp1_input", "62500\n");
  system.write("/sys/class/hwmon/hwmon3/temp1_label", "Package id 0\n");
  system.write("/sys/class/hwmon/hwmon3/temp1_crit", "100000\n");
  system.write("/sys/class/hwmon/hwmon3/fan1_input", "2400\n");
  system.write("/sys/class/hwmon/hwmon4/temp2_input", "-5000\n");
  const auto temperatures = read_temperatures(system.files());
  ASSERT_EQ(temperatures.size(), 4);
  EXPECT_EQ(temperatures[0].name, "thermal/x86_pkg_temp");
  EXPECT_DOUBLE_EQ(temperatures[0].celsius, 61);
  EXPECT_EQ(temperatures[0].limit_c, std::nullopt);
  EXPECT_EQ(temperatures[1].name, "thermal/thermal_zone1");
  EXPECT_EQ(temperatures[2].name, "coretemp/Package id 0");
  EXPECT_DOUBLE_EQ(temperatures[2].celsius, 62.5);
  EXPECT_DOUBLE_EQ(*temperatures[2].limit_c, 100);
  EXPECT_EQ(temperatures[3].name, "hwmon/temp2");
  EXPECT_DOUBLE_EQ(temperatures[3].celsius, -5);
}

TEST(Temperatures, of_sensors_without_a_value_are_left_out) {
  FakeSystem system;
  int zone = 0;
  for (const char* text : {"-273200\n", "-128000\n", "255000\n", "", "hot\n", "9999999999999999999999\n"}) {
    system.write("/sys/class/thermal/thermal_zone" + std::to_string(zone++) + "/temp", text);
  }
  EXPECT_THAT(read_temperatures(system.files()), IsEmpty());
}

TEST(Temperatures, are_64_at_most) {
  FakeSystem system;
  for (int i = 0; i < 100; ++i)
    system.write("/sys/class/hwmon/hwmon0/temp" + std::to_string(i) + "_input", "1000\n");
  EXPECT_EQ(read_temperatures(system.files()).size(), 64);
}

TEST(PowerSupply, tells_of_mains_and_of_the_batteries_of_this_machine) {
  FakeSystem system;
  system.write("/sys/class/power_supply/AC/type", "Mains\n");
  system.write("/sys/class/power_supply/AC/online", "0\n");
  system.write("/sys/class/power_supply/BAT0/type", "Battery\n");
  system.write("/sys/class/power_supply/BAT0/status", "Discharging\n");
  system.write("/sys/class/power_supply/BAT0/capacity", "87\n");
  system.write("/sys/class/power_supply/BAT0/power_now", "-9500000\n");
  system.write("/sys/class/power_supply/BAT1/type", "Battery\n");
  system.write("/sys/class/power_supply/BAT1/status", "Not charging\n");
  system.write("/sys/class/power_supply/BAT1/capacity", "870\n");
  system.write("/sys/class/power_supply/BAT1/current_now", "500000\n");
  system.write("/sys/class/power_supply/BAT1/voltage_now", "12000000\n");
  system.write("/sys/class/power_supply/hidpp_battery_0/type", "Battery\n");
  system.write("/sys/class/power_supply/hidpp_battery_0/scope", "Device\n");
  PowerSupply power = read_power_supply(system.files());
  EXPECT_EQ(power.on_mains, false);
  ASSERT_EQ(power.batteries.size(), 2);
  EXPECT_EQ(power.batteries[0].name, "BAT0");
  EXPECT_EQ(power.batteries[0].state, BatteryState::discharging);
  EXPECT_EQ(power.batteries[0].percent, 87);
  EXPECT_DOUBLE_EQ(*power.batteries[0].power_watts, 9.5);
  EXPECT_EQ(power.batteries[1].state, BatteryState::not_charging);
  EXPECT_EQ(power.batteries[1].percent, std::nullopt);
  EXPECT_DOUBLE_EQ(*power.batteries[1].power_watts, 6);

  system.write("/sys/class/power_supply/ucsi/type", "USB\n");
  system.write("/sys/class/power_supply/ucsi/online", "1\n");
  EXPECT_EQ(read_power_supply(system.files()).on_mains, true);
}

TEST(Temperatures, the_hottest_processor_is_the_one_nearest_to_its_limit) {
  const std::vector<Temperature> temperatures{
      {.name = "nvme/Composite", .celsius = 84, .limit_c = 84.8},
      {.name = "thermal/x86_pkg_temp", .celsius = 99},
      {.name = "coretemp/Package id 0", .celsius = 80, .limit_c = 100},
      {.name = "cpu_thermal/temp1", .celsius = 71, .limit_c = 90},
      {.name = "acpitz/temp1", .celsius = 50, .limit_c = 119},
  };
  EXPECT_EQ(hottest_processor(temperatures)->name, "cpu_thermal/temp1");
  EXPECT_EQ(hottest_processor({temperatures[0], temperatures[1]}), std::nullopt);
}

TEST(PowerSupply, a_machine_runs_on_battery_where_it_has_one_and_no_mains) {
  struct Row {
    const char* what;
    PowerSupply power;
    bool expected;
  };
  const Battery emptied{.name = "BAT0", .state = BatteryState::discharging};
  const Battery filled{.name = "BAT0", .state = BatteryState::full};
  const Row rows[] = {{"nothing is told", {}, false},
                      {"a port without power", {.on_mains = false}, false},
                      {"unplugged", {.on_mains = false, .batteries = {filled}}, true},
                      {"plugged in", {.on_mains = true, .batteries = {emptied}}, false},
                      {"the battery alone, used", {.batteries = {filled, emptied}}, true},
                      {"the battery alone, full", {.batteries = {filled}}, false}};
  for (const Row& row : rows) EXPECT_EQ(on_battery(row.power), row.expected) << row.what;
}

TEST(PowerSupply, tells_nothing_on_a_machine_without_one) {
  const PowerSupply power = read_power_supply(FakeSystem().files());
  EXPECT_EQ(power.on_mains, std::nullopt);
  EXPECT_THAT(power.batteries, IsEmpty());
}

}  // namespace
}  // namespace qvl
