// How busy the processors are, and who keeps them busy: this process or the rest of the machine.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/system_files.h"

namespace qvl {

/// Ticks since start, as /proc/stat counts them. The time of guests is part of `user` and `nice` already.
struct CpuTicks {
  uint64_t user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0;
};

struct CpuCounters {
  struct One {
    int cpu;
    CpuTicks ticks;
  };
  CpuTicks all;
  std::vector<One> each{};              ///< those that are online, by ascending number; at most 4,096
  std::optional<uint64_t> own_ticks{};  ///< user and system time of this process, threads that ended included
};

/// Processor time of an interval. The unit is one processor: 1.7 means that 1.7 of `cpus` were in use.
struct CpuLoad {
  struct One {
    int cpu;
    double busy;  ///< 0 to 1
  };
  int cpus = 0;                          ///< online
  double total_ticks = 0;                ///< of all processors together: the length of the interval
  double busy_cpus = 0;                  ///< what ran, on this machine; foreign + own
  std::optional<double> own_cpus{};      ///< this process
  std::optional<double> foreign_cpus{};  ///< all others
  double iowait_cpus = 0;                ///< idle with a disk to wait for; part of neither
  double stolen_cpus = 0;                ///< what the hypervisor gave to other machines; part of neither
  std::vector<One> each{};
};

/// Nothing where /proc/stat cannot be read or is not what it should be.
std::optional<CpuCounters> read_cpu_counters(const SystemFiles& files);

/// The load between two readings; nothing where no tick has passed. Needs no clock: all ticks together are
/// the time that passed. Some counters (idle, iowait) step back a little; such a step counts as none.
std::optional<CpuLoad> cpu_load(const CpuCounters& before, const CpuCounters& after);

}  // namespace qvl
