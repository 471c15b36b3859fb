// What a unit of work costs, learned from steps that were timed.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

namespace qvl::scheduling {

/// What a step is made of. One unit is a vision step, a token of a prompt, a token of one answer.
enum class StepPart : uint8_t { vision, prefill, decode };

/// Microseconds a unit of each part takes, before any was timed: predictions of a plan, or guesses.
struct CostGuess {
  int64_t vision_us = 50'000;
  int64_t prefill_us = 5'000;
  int64_t decode_us = 50'000;
};

/// What one unit of a kind of work takes: a moving average in integers. The first measurement replaces the
/// guess, each further one moves the average by an eighth of the difference, and counts as four times the
/// average at most: a process that was paused for a minute has learned nothing about its costs. Averages stay
/// within 1 us and 10 minutes. Thread-compatible.
class UnitCost {
 public:
  explicit UnitCost(int64_t guess_us) : fixed_(from_us(guess_us)) {}

  /// `units` >= 1 took `us`.
  void learn(uint32_t units, int64_t us) {
    const int64_t sample = from_us(us) / units;
    fixed_ = std::max(measured_ ? fixed_ + (std::min(sample, 4 * fixed_) - fixed_) / 8 : sample, kOne);
    measured_ = true;
  }

  int64_t us() const { return (fixed_ + kOne / 2) / kOne; }
  /// Nothing before the first measurement.
  std::optional<double> measured_us() const {
    if (!measured_) return std::nullopt;
    return static_cast<double>(fixed_) / kOne;
  }

 private:
  // Microseconds with 8 bits behind the point: an eighth of a small difference still counts.
  static constexpr int64_t kOne = 256, kMostUs = 600'000'000;
  static int64_t from_us(int64_t us) { return std::clamp<int64_t>(us, 1, kMostUs) * kOne; }

  int64_t fixed_;
  bool measured_ = false;
};

/// One for each part of a step. Thread-compatible.
class UnitCosts {
 public:
  explicit UnitCosts(const CostGuess& guess)
      : costs_{UnitCost(guess.vision_us), UnitCost(guess.prefill_us), UnitCost(guess.decode_us)} {}

  void learn(StepPart part, uint32_t units, int64_t us) {
    costs_[static_cast<size_t>(part)].learn(units, us);
  }
  int64_t us(StepPart part) const { return costs_[static_cast<size_t>(part)].us(); }
  std::optional<double> measured_us(StepPart part) const {
    return costs_[static_cast<size_t>(part)].measured_us();
  }

 private:
  std::array<UnitCost, 3> costs_;
};

}  // namespace qvl::scheduling
