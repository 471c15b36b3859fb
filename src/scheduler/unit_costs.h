// What a unit of work costs, learned from steps that were timed.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace qvl::scheduling {

/// What a step is made of. One unit is a vision step, a token of a prompt, a token of one answer.
enum class StepPart : uint8_t { vision, prefill, decode };

/// Microseconds a unit of each part takes, before any was timed: predictions of a plan, or guesses.
struct CostGuess {
  int64_t vision_us = 50'000;
  int64_t prefill_us = 5'000;
  int64_t decode_us = 50'000;
};

/// Moving averages in integers. The first measurement replaces the guess, each further one moves the average
/// by an eighth of the difference, and counts as four times the average at most: a process that was paused
/// for a minute has learned nothing about its costs. Averages stay within 1 us and 10 minutes.
/// Thread-compatible.
class UnitCosts {
 public:
  explicit UnitCosts(const CostGuess& guess)
      : averages_{from_us(guess.vision_us), from_us(guess.prefill_us), from_us(guess.decode_us)} {}

  /// `units` >= 1 of `part` took `us`.
  void learn(StepPart part, uint32_t units, int64_t us) {
    Average& average = averages_[static_cast<size_t>(part)];
    const int64_t sample = from_us(us).fixed / units;
    if (average.measured) {
      average.fixed += (std::min(sample, 4 * average.fixed) - average.fixed) / 8;
    } else {
      average = {.fixed = sample, .measured = true};
    }
    average.fixed = std::max(average.fixed, kOne);
  }

  int64_t us(StepPart part) const { return (averages_[static_cast<size_t>(part)].fixed + kOne / 2) / kOne; }

 private:
  // Microseconds with 8 bits behind the point: an eighth of a small difference still counts.
  static constexpr int64_t kOne = 256, kMostUs = 600'000'000;
  struct Average {
    int64_t fixed = kOne;
    bool measured = false;
  };
  static Average from_us(int64_t us) { return {.fixed = std::clamp<int64_t>(us, 1, kMostUs) * kOne}; }

  std::array<Average, 3> averages_;
};

}  // namespace qvl::scheduling
