#include "profiler/energy.h"

#include <algorithm>
#include <new>
#include <utility>

#include "profiler/fields.h"

namespace qvl {
namespace {

constexpr size_t kMostZones = 16;

std::optional<uint64_t> used_uj(const EnergyCounters& before, const EnergyCounters& after) {
  if (after.energy_uj >= before.energy_uj) return after.energy_uj - before.energy_uj;
  if (!after.range_uj || before.energy_uj > *after.range_uj) return std::nullopt;
  return *after.range_uj - before.energy_uj + after.energy_uj;
}

}  // namespace

std::vector<EnergyCounters> read_energy_counters(const SystemFiles& files) {
  std::vector<EnergyCounters> out;
  // "intel-rapl:0" is a package (AMD's have the same name), "intel-rapl:0:1" a part of it,
  // "intel-rapl-mmio:0" the same package read another way.
  for (const std::string& zone : files.names("/sys/class/powercap")) {
    if (!numbered(zone, "intel-rapl:") || out.size() == kMostZones) continue;
    const std::string folder = "/sys/class/powercap/" + zone;
    const auto energy = files.number(folder + "/energy_uj");
    if (!energy || *energy < 0) continue;
    EnergyCounters counters{.zone = zone,
                            .name = read_label(files, folder + "/name").value_or(zone),
                            .energy_uj = static_cast<uint64_t>(*energy),
                            .range_uj = std::nullopt};
    if (const auto range = files.number(folder + "/max_energy_range_uj"); range && *range > 0) {
      counters.range_uj = static_cast<uint64_t>(*range);
    }
    out.push_back(std::move(counters));
  }
  return out;
}

std::vector<EnergyUse> energy_use(const std::vector<EnergyCounters>& before,
                                  const std::vector<EnergyCounters>& after, double seconds) {
  std::vector<EnergyUse> out;
  for (const EnergyCounters& now : after) {
    const auto old =
        std::find_if(before.begin(), before.end(), [&](const auto& z) { return z.zone == now.zone; });
    const auto used = old == before.end() ? std::nullopt : used_uj(*old, now);
    if (!used) continue;
    const double joules = static_cast<double>(*used) * 1e-6;
    out.push_back({.name = now.name, .joules = joules, .watts = joules / seconds});
  }
  return out;
}

EnergyMeter::EnergyMeter(SystemFiles files) : files_(std::move(files)), last_(read()) {}

std::vector<EnergyCounters> EnergyMeter::read() const {
  std::vector<EnergyCounters> counters = read_energy_counters(files_);
  const auto is_platform = [](const EnergyCounters& zone) { return zone.name == "psys"; };
  if (!std::all_of(counters.begin(), counters.end(), is_platform)) std::erase_if(counters, is_platform);
  return counters;
}

void EnergyMeter::advance() noexcept {
  if (last_.empty()) return;
  try {
    std::vector<EnergyCounters> now = read();
    if (now.empty()) return;  // not readable just now: the next reading has what they used meanwhile
    constexpr double kAnySeconds = 1;
    for (const EnergyUse& use : energy_use(last_, now, kAnySeconds)) joules_ += use.joules;
    last_ = std::move(now);
  } catch (const std::bad_alloc&) {
  }
}

std::optional<double> EnergyMeter::joules() const {
  return last_.empty() ? std::nullopt : std::optional(joules_);
}

}  // namespace qvl
