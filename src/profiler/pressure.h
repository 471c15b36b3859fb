// Pressure stall information: how long work waited for a processor, for memory, for a disk.
#pragma once

#include <cstdint>
#include <optional>

#include "base/system_files.h"

namespace qvl {

struct Stall {
  double avg10 = 0;       ///< per cent of the last 10 seconds, 0 to 100
  double avg60 = 0;       ///< per cent of the last 60 seconds
  uint64_t total_us = 0;  ///< since the machine or the group began
};

struct Pressure {
  std::optional<Stall> some{};  ///< at least one task waited
  std::optional<Stall> full{};  ///< all tasks waited; old kernels have none for the processor
};

struct PressureSet {
  std::optional<Pressure> cpu{};
  std::optional<Pressure> memory{};
  std::optional<Pressure> io{};
};

/// Of the whole machine. Empty on kernels without pressure files.
PressureSet read_machine_pressure(const SystemFiles& files);

/// Of the cgroup (version 2) of this process, which also waits at limits that bind no one else.
PressureSet read_own_pressure(const SystemFiles& files);

}  // namespace qvl
