// The disks of this machine: what they are, and how busy they are.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/system_files.h"

namespace qvl {

enum class DiskKind { solid_state, rotating, unknown };

struct DiskFacts {
  std::string name{};  ///< as below /dev
  std::optional<std::string> model{};
  std::optional<uint64_t> size_bytes{};
  DiskKind kind = DiskKind::unknown;
};

struct DiskCounters {
  std::string name{};
  uint64_t read_bytes = 0;
  uint64_t written_bytes = 0;
  uint64_t busy_ms = 0;  ///< counted in 32 bits
};

/// One disk between two readings. A number is empty where its counter stepped back.
struct DiskLoad {
  std::string name{};
  std::optional<double> read_bytes_per_s{};
  std::optional<double> written_bytes_per_s{};
  std::optional<double> busy{};  ///< share of the time with a request under way, 0 to 1
};

/// Devices with hardware of their own, at most 64, by name: no partitions, and nothing that lies on other
/// disks (loop, RAID, encrypted volumes) or in memory, whose bytes would count twice or are none.
std::vector<DiskFacts> read_disk_facts(const SystemFiles& files);

/// Counters of the same devices.
std::vector<DiskCounters> read_disk_counters(const SystemFiles& files);

/// Loads of the disks in both readings. `seconds` between them, > 0.
std::vector<DiskLoad> disk_loads(const std::vector<DiskCounters>& before,
                                 const std::vector<DiskCounters>& after, double seconds);

}  // namespace qvl
