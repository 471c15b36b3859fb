// Machines as /sys/devices shows them, for tests of this module. Only for tests.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fake_system.h"

namespace qvl {

/// Writes the files of one processor: its core's processors, as the kernel lists them, and its package.
inline void add_cpu(const FakeSystem& system, int cpu, std::string_view core_cpus, int package = 0) {
  const std::string folder = fmt::format("/sys/devices/system/cpu/cpu{}/topology", cpu);
  system.write(folder + "/core_cpus_list", std::string(core_cpus) + "\n");
  system.write(folder + "/physical_package_id", fmt::format("{}\n", package));
}

inline void set_online(const FakeSystem& system, std::string_view cpus) {
  system.write("/sys/devices/system/cpu/online", std::string(cpus) + "\n");
}

/// An Intel i5-10210U: four cores of two threads, the second threads numbered behind the first.
inline void make_laptop(const FakeSystem& system) {
  set_online(system, "0-7");
  system.write("/sys/devices/system/node/node0/cpulist", "0-7\n");
  for (int cpu = 0; cpu < 8; ++cpu) {
    const std::string pair = fmt::format("{},{}", cpu % 4, cpu % 4 + 4);
    add_cpu(system, cpu, pair);
    const std::string folder = fmt::format("/sys/devices/system/cpu/cpu{}/", cpu);
    system.write(folder + "cpufreq/cpuinfo_max_freq", "4200000\n");
    struct Row {
      std::string_view type, level, size, cpus;
    };
    const Row rows[] = {{"Data", "1", "32K", pair},
                        {"Instruction", "1", "32K", pair},
                        {"Unified", "2", "256K", pair},
                        {"Unified", "3", "6144K", "0-7"}};
    for (size_t i = 0; i < std::size(rows); ++i) {
      const std::string cache = fmt::format("{}cache/index{}/", folder, i);
      system.write(cache + "type", fmt::format("{}\n", rows[i].type));
      system.write(cache + "level", fmt::format("{}\n", rows[i].level));
      system.write(cache + "size", fmt::format("{}\n", rows[i].size));
      system.write(cache + "shared_cpu_list", fmt::format("{}\n", rows[i].cpus));
    }
  }
}

/// Two performance cores of two threads (0-1, 2-3) and four efficiency cores (4 to 7).
inline void make_hybrid(const FakeSystem& system) {
  set_online(system, "0-7");
  for (int cpu = 0; cpu < 4; ++cpu) add_cpu(system, cpu, cpu < 2 ? "0-1" : "2-3");
  for (int cpu = 4; cpu < 8; ++cpu) add_cpu(system, cpu, fmt::format("{}", cpu));
}

/// Two packages, each a node of memory with two cores of two threads: 0-1 and 4-5, then 2-3 and 6-7.
inline void make_two_packages(const FakeSystem& system) {
  set_online(system, "0-7");
  for (int cpu = 0; cpu < 8; ++cpu) {
    add_cpu(system, cpu, fmt::format("{},{}", cpu % 4, cpu % 4 + 4), cpu % 4 / 2);
  }
  system.write("/sys/devices/system/node/node0/cpulist", "0-1,4-5\n");
  system.write("/sys/devices/system/node/node1/cpulist", "2-3,6-7\n");
}

}  // namespace qvl
