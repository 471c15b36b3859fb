// Computing for a share of the time only, so that a machine stays cool and its battery lasts.
#pragma once

#include <chrono>

namespace qvl {

/// Says how long to rest after work. Time is an argument, so it knows no clock. Thread-compatible.
class DutyCycle {
 public:
  static constexpr double kLeastShare = 0.1;

  /// Works `share` of the time; in [kLeastShare, 1].
  explicit DutyCycle(double share = 1);
  double share() const { return share_; }
  bool never_rests() const { return share_ >= 1; }

  /// Takes note of work that took `busy`. Returns how long to rest now: zero until the work of a period (some
  /// milliseconds: long beside a loop, short beside a token) has come together.
  std::chrono::nanoseconds rest_after(std::chrono::nanoseconds busy);

 private:
  double share_;
  std::chrono::nanoseconds busy_{0};
};

}  // namespace qvl
