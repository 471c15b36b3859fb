// The one clock of samples and traces: it knows no date and never steps.
#pragma once

#include <chrono>
#include <cstdint>

namespace qvl {

/// Nanoseconds since some moment before the program began.
inline int64_t steady_ns() {
  using std::chrono::duration_cast, std::chrono::nanoseconds, std::chrono::steady_clock;
  return duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count();
}

}  // namespace qvl
