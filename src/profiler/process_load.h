// What another process takes of the machine: its processor time, thread by thread, and its memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/system_files.h"
#include "profiler/cpu_load.h"

namespace qvl {

struct ProcessCounters {
  struct Thread {
    uint32_t id;
    uint64_t ticks;
    int cpu;  ///< where it ran last
  };
  uint32_t pid = 0;
  uint64_t start_ticks = 0;  ///< after the machine's start: with the number it names one process for ever
  std::string name{};        ///< printable
  uint64_t ticks = 0;        ///< user and system time, threads that ended included
  std::vector<Thread> threads{};        ///< by ascending id, at most 4,096
  std::optional<uint64_t> rss_bytes{};  ///< resident
  std::optional<uint64_t> swapped_bytes{};
};

/// Between two readings. The unit is one processor.
struct ProcessLoad {
  double cpus = 0;
  std::vector<CpuLoad::One>
      each{};  ///< by ascending number; where its threads ran last, as far as they are known
};

/// Nothing where there is no such process, or it has ended and waits for its parent.
std::optional<ProcessCounters> read_process_counters(const SystemFiles& files, uint32_t pid);

/// ProcessCounters::start_ticks of this process.
std::optional<uint64_t> own_start_ticks(const SystemFiles& files);

/// `machine`: the load of the same interval. Nothing where the two are different processes.
std::optional<ProcessLoad> process_load(const ProcessCounters& before, const ProcessCounters& after,
                                        const CpuLoad& machine);

}  // namespace qvl
