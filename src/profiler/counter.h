// Differences of counters that wrap around, or begin again at zero.
#pragma once

#include <cstdint>
#include <optional>

namespace qvl {

/// After how many counts a counter of the kernel begins at zero again.
enum class CounterWidth { bits32, bits64 };

/// What was counted between two readings. A step of half the range or more is one backwards: the device is
/// another one, or was reset, and there is no difference.
inline std::optional<uint64_t> counted(uint64_t before, uint64_t after, CounterWidth width) {
  const uint64_t range_mask = width == CounterWidth::bits32 ? UINT32_MAX : UINT64_MAX;
  const uint64_t step = (after - before) & range_mask;
  return step <= range_mask / 2 ? std::optional(step) : std::nullopt;
}

/// The same for one second. `seconds` > 0.
inline std::optional<double> counted_per_second(uint64_t before, uint64_t after, double seconds) {
  const auto step = counted(before, after, CounterWidth::bits64);
  return step ? std::optional(static_cast<double>(*step) / seconds) : std::nullopt;
}

}  // namespace qvl
