// How long somebody waits, as clocks can count it.
#pragma once

#include <algorithm>
#include <chrono>

namespace qvl {

/// `most`, but none below 0, and a century for all that is longer: clocks count nanoseconds and would wrap.
constexpr std::chrono::milliseconds waiting_time(std::chrono::milliseconds most) {
  using std::chrono::milliseconds;
  constexpr milliseconds kForEver = std::chrono::hours(24 * 36525);
  return std::clamp(most, milliseconds(0), kForEver);
}

}  // namespace qvl
