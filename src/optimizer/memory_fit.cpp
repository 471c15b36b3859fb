#include "optimizer/memory_fit.h"

#include <algorithm>

#include "kernels/attention/kv_block.h"
#include "optimizer/memory_model.h"

namespace qvl {
namespace {

constexpr int64_t kWantedTokens = 16'384, kLeastTokens = 512;
constexpr int64_t kLeastPatches = 256;  // 256 x 256 pixels of the published checkpoints
constexpr int64_t kPatchStep = 64;
constexpr uint64_t kPictureShare = 2;  // of the free memory, for the largest picture

int64_t most_patches(const ModelFacts& model) {
  if (!model.has_vision) return 0;
  return model.max_picture_pixels / (model.vision.patch_size * model.vision.patch_size);
}

// The largest step in [low, high] for which `fits` holds, which holds for `low` and everything below the
// result.
template <typename Fits>
int64_t largest(int64_t low, int64_t high, Fits fits) {
  while (low < high) {
    const int64_t middle = low + (high - low + 1) / 2;
    if (fits(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

}  // namespace

int64_t wanted_context(const TextConfig& text) {
  return std::min(text.max_position_embeddings, kWantedTokens);
}

Plan with_least_request(const PlanInputs& inputs, Plan plan) {
  plan.context_tokens = std::min(wanted_context(inputs.model.text), kLeastTokens);
  plan.picture_patches = std::min(most_patches(inputs.model), kLeastPatches);
  return plan;
}

std::optional<Plan> fit_memory(const PlanInputs& inputs, const Plan& plan) {
  const uint64_t cap = inputs.memory_cap();
  const auto bytes = [&](const Plan& candidate) { return predict_memory(inputs.model, candidate).total(); };
  Plan fitted = with_least_request(inputs, plan);
  const uint64_t least = bytes(fitted);
  if (least > cap) return std::nullopt;

  const auto with_patches = [&](int64_t steps) {
    Plan candidate = fitted;
    candidate.picture_patches = std::max(fitted.picture_patches, steps * kPatchStep);
    return candidate;
  };
  const uint64_t for_picture = least + (cap - least) / kPictureShare;
  fitted = with_patches(largest(0, most_patches(inputs.model) / kPatchStep,
                                [&](int64_t steps) { return bytes(with_patches(steps)) <= for_picture; }));

  const auto with_tokens = [&](int64_t blocks) {
    Plan candidate = fitted;
    candidate.context_tokens = std::max(fitted.context_tokens, blocks * kBlockKeys);
    return candidate;
  };
  return with_tokens(largest(0, wanted_context(inputs.model.text) / kBlockKeys,
                             [&](int64_t blocks) { return bytes(with_tokens(blocks)) <= cap; }));
}

}  // namespace qvl
