// Guesses at the next tokens, taken from what stands in the prompt and the answer already; no second model.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace qvl {

/// What followed the last earlier occurrence of the longest ending of `tokens`, of at least two and at most
/// four tokens, that has one: at most `most` tokens of `tokens` itself. Empty where there is none. Reads all
/// of `tokens` at most three times.
///
/// Prompt lookup decoding (Saxena 2023): answers repeat names and phrases of the question, and themselves.
std::span<const int32_t> look_up(std::span<const int32_t> tokens, size_t most);

/// Whether guessing pays, learned from steps that were timed: a step that checks guesses takes longer and
/// makes more tokens. Thread-compatible.
class LookupGauge {
 public:
  /// Tokens to guess for the next step: 0, or as many as pay. Now and then one step is spent to learn what is
  /// not known, or not any more.
  size_t guesses();
  /// A step with so many guesses was computed in `us`, and made `tokens` >= 1.
  void learn(size_t guesses, int64_t us, size_t tokens);

  static constexpr size_t kGuesses = 4;  ///< of a step: with few rows a pass costs little more than with one

 private:
  // Microseconds and tokens of a step, moving averages.
  struct Cost {
    double us = 0, tokens = 0;
    void learn(double step_us, double step_tokens);
    double per_token() const { return us / tokens; }
  };
  static constexpr int kProbe = 64;  // steps between two looks at what is not used

  std::optional<Cost> plain_, guessed_;
  int since_probe_ = 0;
};

}  // namespace qvl
