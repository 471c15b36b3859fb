// What reading and looking at pictures was measured to take on this machine, for predictions.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>

#include "scheduler/unit_costs.h"

namespace qvl {

/// Moving averages over what was done, by amount of work. Thread-safe.
class MediaCosts {
 public:
  /// A picture whose file has so many pixels was decoded, resized and cut.
  void learn_cutting(int64_t pixels, double seconds);
  /// So many patches went through a block of the tower, a patch counted once for each block.
  void learn_encoding(int64_t patches, double seconds);

  /// Seconds for so much of it, in proportion to what was measured; nothing before that.
  std::optional<double> cutting_s(int64_t pixels) const;
  std::optional<double> encoding_s(int64_t patches) const;

 private:
  // Units, so that one takes some microseconds also for small models.
  static constexpr int64_t kPixels = 1024, kPatches = 64;

  mutable std::mutex mutex_;
  scheduling::UnitCost cutting_{1}, encoding_{1};
};

}  // namespace qvl
