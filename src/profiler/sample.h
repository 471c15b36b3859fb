// One look at the machine: everything the profiler measures, with gaps where the machine lacks something.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "profiler/cpu_load.h"
#include "profiler/disks.h"
#include "profiler/energy.h"
#include "profiler/gpu_monitor.h"
#include "profiler/memory_use.h"
#include "profiler/network.h"
#include "profiler/pressure.h"
#include "profiler/sensors.h"

namespace qvl {

/// What is measured between two readings of counters.
struct Rates {
  std::optional<double> interval_s{};  ///< between the readings; empty in a first sample, which has no rates
  std::optional<CpuLoad> cpu{};
  std::vector<DiskLoad> disks{};
  std::vector<NetworkLoad> network{};
  std::vector<EnergyUse> energy{};
};

/// Plain data: once handed out it does not change. What was not asked for, or cannot be read, is empty.
struct Sample {
  int64_t time_ns = 0;  ///< steady clock; the trace has the same
  int64_t cost_ns = 0;  ///< processor time that taking this sample took
  Rates rates{};
  std::optional<MemoryUse> memory{};
  PressureSet machine_pressure{};
  PressureSet own_pressure{};
  std::vector<CpuFrequency> frequencies{};
  std::vector<Temperature> temperatures{};
  PowerSupply power{};
  std::vector<GpuLoad> gpus{};
};

/// Memory that a sample takes, its lists included (texts in them counted in full).
size_t bytes_of(const Sample& sample);

}  // namespace qvl
