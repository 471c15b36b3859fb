// How much memory this process and the machine use, as the kernel tells it.
#pragma once

#include <cstdint>
#include <optional>

#include "base/system_files.h"

namespace qvl {

/// The two figures that cost one small file. Bytes.
struct ResidentMemory {
  uint64_t rss = 0;  ///< pages in memory: own ones, those of mapped files, shared ones
  uint64_t vms = 0;  ///< addresses in use, with or without memory behind them
};

/// Memory of this process. Bytes. What a kernel does not tell is nothing.
struct ProcessMemory {
  uint64_t rss = 0;
  uint64_t vms = 0;
  std::optional<uint64_t> peak_rss{};   ///< the most rss has been
  std::optional<uint64_t> rss_anon{};   ///< pages no file stands behind: what the heap and the pool take
  std::optional<uint64_t> rss_file{};   ///< pages of mapped files, which the system can take back
  std::optional<uint64_t> rss_shmem{};  ///< shared memory
};

/// Memory of the machine. Bytes.
struct MachineMemory {
  uint64_t total = 0;
  std::optional<uint64_t>
      available{};  ///< what a program can get without swapping; nothing where it is not told
};

/// From /proc/self/statm: cheap enough for every sample. Nothing where it cannot be read or makes no sense.
std::optional<ResidentMemory> resident_memory(const SystemFiles& files);
/// From /proc/self/status: the same by kind, and the peak.
std::optional<ProcessMemory> process_memory(const SystemFiles& files);
/// From /proc/meminfo; where that is hidden or makes no sense, the total from the system's count of pages.
/// Throws Error{environment} where the system refuses to tell that too.
MachineMemory machine_memory(const SystemFiles& files);

}  // namespace qvl
