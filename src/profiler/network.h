// Bytes through the network interfaces, the loopback left out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/system_files.h"

namespace qvl {

struct NetworkCounters {
  std::string name{};
  uint64_t received_bytes = 0;
  uint64_t sent_bytes = 0;
};

/// One interface between two readings. A number is empty where its counter stepped back.
struct NetworkLoad {
  std::string name{};
  std::optional<double> received_bytes_per_s{};
  std::optional<double> sent_bytes_per_s{};
};

/// The interfaces this process sees, at most 64.
std::vector<NetworkCounters> read_network_counters(const SystemFiles& files);

/// Loads of the interfaces in both readings. `seconds` between them, > 0.
std::vector<NetworkLoad> network_loads(const std::vector<NetworkCounters>& before,
                                       const std::vector<NetworkCounters>& after, double seconds);

}  // namespace qvl
