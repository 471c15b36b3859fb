#include "threads/duty_cycle.h"

#include <algorithm>

#include "base/error.h"

namespace qvl {
namespace {

constexpr std::chrono::milliseconds kWorkPeriod{5};
// A program that was stopped, or a machine that slept, has not worked for hours.
constexpr std::chrono::milliseconds kMostBusy{100};

}  // namespace

DutyCycle::DutyCycle(double share) : share_(share) { QVL_CHECK(share >= kLeastShare && share <= 1); }

std::chrono::nanoseconds DutyCycle::rest_after(std::chrono::nanoseconds busy) {
  busy_ += std::min<std::chrono::nanoseconds>(busy, kMostBusy);
  if (never_rests() || busy_ < kWorkPeriod) return std::chrono::nanoseconds(0);
  const double rest = static_cast<double>(busy_.count()) * (1 - share_) / share_;
  busy_ = std::chrono::nanoseconds(0);
  return std::chrono::nanoseconds(static_cast<int64_t>(rest));
}

}  // namespace qvl
