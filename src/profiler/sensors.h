// Clock frequencies, temperatures, battery and mains: what tells that a machine is about to slow down.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/system_files.h"

namespace qvl {

struct CpuFrequency {
  int cpu;
  double mhz;                        ///< now
  std::optional<double> most_mhz{};  ///< allowed now; thermal limits lower it
};

struct Temperature {
  std::string name{};               ///< "thermal/x86_pkg_temp", "coretemp/Core 0"
  double celsius;                   ///< -60 to 200; anything else is a sensor without a value
  std::optional<double> limit_c{};  ///< where the hardware calls it critical
};

enum class BatteryState { charging, discharging, full, not_charging, unknown };

struct Battery {
  std::string name{};
  BatteryState state = BatteryState::unknown;
  std::optional<double> percent{};      ///< 0 to 100
  std::optional<double> power_watts{};  ///< into or out of it, from 0 on
};

struct PowerSupply {
  std::optional<bool> on_mains{};    ///< empty where the machine tells of no mains
  std::vector<Battery> batteries{};  ///< of this machine, at most 8; not those of a mouse
};

/// By ascending number of the processor, at most 4,096; none where frequencies are not told.
std::vector<CpuFrequency> read_frequencies(const SystemFiles& files);

/// Thermal zones and hwmon sensors, at most 64. A part of the machine may appear in both.
std::vector<Temperature> read_temperatures(const SystemFiles& files);

PowerSupply read_power_supply(const SystemFiles& files);

/// Of the sensors of processors that have a limit, the one nearest to it.
std::optional<Temperature> hottest_processor(const std::vector<Temperature>& temperatures);

/// Whether this machine has a battery and runs on it. A supply without a battery is no sign of one: a port
/// that gives no power says so too.
bool on_battery(const PowerSupply& power);

}  // namespace qvl
