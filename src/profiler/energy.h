// Energy that the processors used, from RAPL counters (powercap), where they may be read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/system_files.h"

namespace qvl {

struct EnergyCounters {
  std::string zone{};  ///< the folder: "intel-rapl:0"
  std::string name{};  ///< "package-0", "psys"
  uint64_t energy_uj = 0;
  std::optional<uint64_t> range_uj{};  ///< the counter begins at zero after this
};

struct EnergyUse {
  std::string name{};
  double joules = 0;  ///< between two readings
  double watts = 0;   ///< on average
};

/// Whole zones (a package, the platform), at most 16; their parts are counted in them. Most systems let only
/// root read these: then there are none.
std::vector<EnergyCounters> read_energy_counters(const SystemFiles& files);

/// What the zones in both readings used. `seconds` between them, > 0. A zone whose counter stepped back and
/// tells no range has no use.
std::vector<EnergyUse> energy_use(const std::vector<EnergyCounters>& before,
                                  const std::vector<EnergyCounters>& after, double seconds);

/// What the processors of this machine used since it was made, whoever computed. The platform's zone (psys)
/// has the packages in it, so it counts only where there is no other. Thread-compatible.
class EnergyMeter {
 public:
  explicit EnergyMeter(SystemFiles files);
  /// Reads the counters. To be called before any of them has gone through its whole range, which a package of
  /// 65 W does within about an hour. A reading that memory is missing for is left to the next one.
  void advance() noexcept;
  /// As of the last reading; empty where no counter may be read.
  std::optional<double> joules() const;

 private:
  std::vector<EnergyCounters> read() const;

  const SystemFiles files_;
  std::vector<EnergyCounters> last_;
  double joules_ = 0;
};

}  // namespace qvl
