#include "profiler/sensors.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "profiler/fields.h"

namespace qvl {
namespace {

constexpr size_t kMostCpus = 4096;
constexpr size_t kMostTemperatures = 64;
constexpr size_t kMostBatteries = 8;

std::optional<double> read_mhz(const SystemFiles& files, const std::string& path) {
  return read_scaled(files, path, 1e-3, 1, 100'000);
}

std::optional<double> read_celsius(const SystemFiles& files, const std::string& path) {
  return read_scaled(files, path, 1e-3, -60, 200);
}

void add_thermal_zones(const SystemFiles& files, std::vector<Temperature>& out) {
  for (const std::string& zone : files.names("/sys/class/thermal")) {
    if (out.size() == kMostTemperatures) return;
    if (!numbered(zone, "thermal_zone")) continue;
    const std::string folder = "/sys/class/thermal/" + zone;
    const auto celsius = read_celsius(files, folder + "/temp");
    if (!celsius) continue;
    const std::string kind = read_label(files, folder + "/type").value_or(zone);
    out.push_back({.name = "thermal/" + kind, .celsius = *celsius, .limit_c = std::nullopt});
  }
}

// A chip's folder has temp1_input and, where they exist, temp1_label and temp1_crit.
void add_chip(const SystemFiles& files, const std::string& folder, std::vector<Temperature>& out) {
  constexpr std::string_view kInput = "_input";
  const std::string chip = read_label(files, folder + "/name").value_or("hwmon");
  for (const std::string& file : files.names(folder)) {
    if (out.size() == kMostTemperatures) return;
    if (!file.ends_with(kInput)) continue;
    const std::string sensor = file.substr(0, file.size() - kInput.size());
    if (!numbered(sensor, "temp")) continue;
    const auto celsius = read_celsius(files, folder + "/" + file);
    if (!celsius) continue;
    const std::string label = read_label(files, folder + "/" + sensor + "_label").value_or(sensor);
    out.push_back({.name = chip + "/" + label,
                   .celsius = *celsius,
                   .limit_c = read_celsius(files, folder + "/" + sensor + "_crit")});
  }
}

// By the kernel's drivers of processors and of the zones that a board keeps for them ("cpu_thermal"). Disks
// and network adapters have limits too, and computing less would not cool them.
bool of_processor(const Temperature& temperature) {
  constexpr std::string_view kChips[] = {"coretemp", "k10temp", "zenpower", "acpitz"};
  const std::string_view chip = std::string_view(temperature.name).substr(0, temperature.name.find('/'));
  return chip.starts_with("cpu") || std::find(std::begin(kChips), std::end(kChips), chip) != std::end(kChips);
}

BatteryState parse_state(std::string_view text) {
  if (text == "Charging") return BatteryState::charging;
  if (text == "Discharging") return BatteryState::discharging;
  if (text == "Full") return BatteryState::full;
  if (text == "Not charging") return BatteryState::not_charging;
  return BatteryState::unknown;
}

// Some batteries tell the power, others current and voltage. Some give the direction as a sign.
std::optional<double> read_watts(const SystemFiles& files, const std::string& folder) {
  constexpr double kMostWatts = 1000;
  if (const auto watts = read_scaled(files, folder + "/power_now", 1e-6, -kMostWatts, kMostWatts)) {
    return std::abs(*watts);
  }
  const auto amperes = read_scaled(files, folder + "/current_now", 1e-6, -100, 100);
  const auto volts = read_scaled(files, folder + "/voltage_now", 1e-6, 0, 100);
  if (!amperes || !volts) return std::nullopt;
  return std::abs(*amperes * *volts);
}

Battery read_battery(const SystemFiles& files, const std::string& name, const std::string& folder) {
  return {.name = printable(name, 64),
          .state = parse_state(files.first_line(folder + "/status").value_or("")),
          .percent = read_scaled(files, folder + "/capacity", 1, 0, 100),
          .power_watts = read_watts(files, folder)};
}

}  // namespace

std::vector<CpuFrequency> read_frequencies(const SystemFiles& files) {
  std::vector<CpuFrequency> out;
  for (const std::string& name : files.names("/sys/devices/system/cpu")) {
    const auto cpu = numbered(name, "cpu");
    if (!cpu || out.size() == kMostCpus) continue;
    const std::string folder = "/sys/devices/system/cpu/" + name + "/cpufreq";
    if (const auto mhz = read_mhz(files, folder + "/scaling_cur_freq")) {
      out.push_back({.cpu = *cpu, .mhz = *mhz, .most_mhz = read_mhz(files, folder + "/scaling_max_freq")});
    }
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.cpu < b.cpu; });
  return out;
}

std::vector<Temperature> read_temperatures(const SystemFiles& files) {
  std::vector<Temperature> out;
  add_thermal_zones(files, out);
  for (const std::string& chip : files.names("/sys/class/hwmon")) {
    add_chip(files, "/sys/class/hwmon/" + chip, out);
  }
  return out;
}

std::optional<Temperature> hottest_processor(const std::vector<Temperature>& temperatures) {
  std::optional<Temperature> hottest;
  for (const Temperature& each : temperatures) {
    if (!each.limit_c || !of_processor(each)) continue;
    if (!hottest || *each.limit_c - each.celsius < *hottest->limit_c - hottest->celsius) hottest = each;
  }
  return hottest;
}

bool on_battery(const PowerSupply& power) {
  if (power.batteries.empty()) return false;
  if (power.on_mains) return !*power.on_mains;
  return std::any_of(power.batteries.begin(), power.batteries.end(),
                     [](const Battery& battery) { return battery.state == BatteryState::discharging; });
}

PowerSupply read_power_supply(const SystemFiles& files) {
  PowerSupply out;
  for (const std::string& name : files.names("/sys/class/power_supply")) {
    const std::string folder = "/sys/class/power_supply/" + name;
    if (files.first_line(folder + "/scope") == "Device") continue;  // of a mouse or a headset
    const std::string kind = files.first_line(folder + "/type").value_or("");
    if (kind == "Battery") {
      if (out.batteries.size() < kMostBatteries) out.batteries.push_back(read_battery(files, name, folder));
    } else if (const auto online = files.number(folder + "/online")) {
      out.on_mains = out.on_mains.value_or(false) || *online != 0;
    }
  }
  return out;
}

}  // namespace qvl
