#include "pipeline/engine/prompt_lookup.h"

#include <algorithm>

namespace qvl {

std::span<const int32_t> look_up(std::span<const int32_t> tokens, size_t most) {
  constexpr size_t kLongest = 4, kShortest = 2;
  for (size_t length = std::min(kLongest, tokens.empty() ? 0 : tokens.size() - 1); length >= kShortest;
       --length) {
    const auto ending = tokens.last(length);
    // From the back: what was said last is likeliest to be said again.
    for (size_t end = tokens.size() - 1; end >= length; --end) {
      if (!std::equal(ending.begin(), ending.end(),
                      tokens.begin() + static_cast<std::ptrdiff_t>(end - length))) {
        continue;
      }
      return tokens.subspan(end, std::min(most, tokens.size() - end));
    }
  }
  return {};
}

void LookupGauge::Cost::learn(double step_us, double step_tokens) {
  constexpr double kShare = 1.0 / 8;
  us += kShare * (step_us - us);
  tokens += kShare * (step_tokens - tokens);
}

size_t LookupGauge::guesses() {
  if (!plain_) return 0;
  if (!guessed_) return kGuesses;
  const bool pays = guessed_->per_token() < plain_->per_token();
  if (++since_probe_ >= kProbe) {
    since_probe_ = 0;
    return pays ? 0 : kGuesses;
  }
  return pays ? kGuesses : 0;
}

void LookupGauge::learn(size_t guesses, int64_t us, size_t tokens) {
  std::optional<Cost>& cost = guesses == 0 ? plain_ : guessed_;
  const auto step_us = static_cast<double>(us), step_tokens = static_cast<double>(tokens);
  if (cost) {
    cost->learn(step_us, step_tokens);
  } else {
    cost = {.us = step_us, .tokens = step_tokens};
  }
}

}  // namespace qvl
