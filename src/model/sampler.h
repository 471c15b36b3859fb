// Choosing the next token from logits, in the order of Hugging Face's processors.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace qvl {

struct SamplingOptions {
  double temperature = 0;  ///< 0: greedy
  int64_t top_k = 0;       ///< 0: no limit
  double top_p = 1;
  double repetition_penalty = 1;
  double presence_penalty = 0;
  uint64_t seed = 0;
};

/// Throws Error{model_file} where a logit is not finite.
void check_finite(std::span<const float> logits);

/// Repetition and presence penalty, temperature, top-k, top-p, then a draw. Thread-compatible; the same seed
/// and logits give the same tokens on every machine.
class Sampler {
 public:
  Sampler(const SamplingOptions& options, int64_t vocabulary);
  /// Counts tokens of the prompt for the repetition penalty.
  void observe_prompt(std::span<const int32_t> tokens);
  /// Chooses and counts one token. Changes `logits`. Throws as check_finite().
  int32_t sample(std::span<float> logits);

 private:
  void penalise(std::span<float> logits) const;
  int32_t draw(std::span<const float> logits);
  double uniform();

  SamplingOptions options_;
  std::vector<uint8_t> in_prompt_, in_answer_;  // [vocabulary]
  std::vector<int32_t> seen_;                   // distinct tokens of prompt and answer
  std::vector<int32_t> candidates_;
  std::vector<double> weights_;  // of the candidates
  uint64_t state_;
};

}  // namespace qvl
