#include "model/sampler.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace qvl {

void check_finite(std::span<const float> logits) {
  if (!std::all_of(logits.begin(), logits.end(), [](float z) { return std::isfinite(z); })) {
    fail(ErrorCode::model_file, "the model computed a logit that is not a finite number");
  }
}

Sampler::Sampler(const SamplingOptions& options, int64_t vocabulary)
    : options_(options),
      in_prompt_(static_cast<size_t>(vocabulary), 0),
      in_answer_(static_cast<size_t>(vocabulary), 0),
      state_(options.seed) {
  seen_.reserve(static_cast<size_t>(vocabulary));  // so that choosing a token never allocates
}

void Sampler::observe_prompt(std::span<const int32_t> tokens) {
  for (int32_t token : tokens) {
    auto& flag = in_prompt_[static_cast<size_t>(token)];
    if (flag == 0 && in_answer_[static_cast<size_t>(token)] == 0) seen_.push_back(token);
    flag = 1;
  }
}

int32_t Sampler::sample(std::span<float> logits) {
  QVL_CHECK(logits.size() == in_prompt_.size());
  check_finite(logits);
  penalise(logits);
  const int32_t token =
      options_.temperature > 0
          ? draw(logits)
          : static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  auto& flag = in_answer_[static_cast<size_t>(token)];
  if (flag == 0 && in_prompt_[static_cast<size_t>(token)] == 0) seen_.push_back(token);
  flag = 1;
  return token;
}

void Sampler::penalise(std::span<float> logits) const {
  const auto repetition = static_cast<float>(options_.repetition_penalty);
  const auto presence = static_cast<float>(options_.presence_penalty);
  if (repetition == 1.0f && presence == 0.0f) return;
  for (int32_t token : seen_) {
    float& z = logits[static_cast<size_t>(token)];
    z = z < 0 ? z * repetition : z / repetition;
    if (in_answer_[static_cast<size_t>(token)] != 0) z -= presence;
  }
}

int32_t Sampler::draw(std::span<const float> logits) {
  candidates_.resize(logits.size());
  for (size_t i = 0; i < candidates_.size(); ++i) candidates_[i] = static_cast<int32_t>(i);
  const auto logit = [&](int32_t token) { return logits[static_cast<size_t>(token)]; };
  // Ties by id, so that the order, and with it the draw, is the same everywhere.
  const auto better = [&](int32_t a, int32_t b) {
    return logit(a) != logit(b) ? logit(a) > logit(b) : a < b;
  };
  if (options_.top_k > 0 && options_.top_k < std::ssize(candidates_)) {
    auto kth = candidates_.begin() + (options_.top_k - 1);
    std::nth_element(candidates_.begin(), kth, candidates_.end(), better);
    const float threshold = logit(*kth);
    std::erase_if(candidates_, [&](int32_t token) { return logit(token) < threshold; });
  }
  std::sort(candidates_.begin(), candidates_.end(), better);

  const double largest = logit(candidates_.front());
  std::vector<double>& weights = weights_;
  weights.resize(candidates_.size());
  double total = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    weights[i] = std::exp((logit(candidates_[i]) - largest) / options_.temperature);
    total += weights[i];
  }
  double kept = 0;  // the mass of the tokens kept; one is kept while the mass before it is below top_p
  size_t count = 0;
  while (count < weights.size() && (count == 0 || kept < options_.top_p * total)) kept += weights[count++];

  double place = uniform() * kept;
  for (size_t i = 0; i < count; ++i) {
    place -= weights[i];
    if (place < 0) return candidates_[i];
  }
  return candidates_[count - 1];
}

// SplitMix64 (Steele, Lea, Flood 2014), 53 bits to [0, 1): the same numbers with every standard library.
double Sampler::uniform() {
  uint64_t z = (state_ += 0x9E3779B97F4A7C15ull);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1.0p-53;
}

}  // namespace qvl
