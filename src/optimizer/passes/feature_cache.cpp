// Features of pictures seen before: a picture that comes again costs nothing.
#include <algorithm>

#include "base/error.h"
#include "optimizer/passes/pass_list.h"

namespace qvl {
namespace {

constexpr uint64_t kMostBytes = 1 << 30;
constexpr uint64_t kShare = 4;  // of the free memory

uint64_t budget(const PassContext& context) { return std::min(context.free_bytes / kShare, kMostBytes); }

std::optional<std::string> obstacle(const PassContext& context) {
  if (!context.inputs.model.has_vision) return "there is no vision tower";
  const uint64_t picture = feature_bytes(context.inputs.model.vision, kReferencePatches);
  if (budget(context) >= picture) return std::nullopt;
  return "one picture of 512 x 512 takes " + mebibytes(picture) + ", " + mebibytes(budget(context)) +
         " are left for it beside the keys and values";
}

std::string apply(const PassContext& context, Plan& plan) {
  plan.feature_cache_bytes = budget(context);
  const uint64_t picture = feature_bytes(context.inputs.model.vision, kReferencePatches);
  return fmt::format("room for {} pictures of 512 x 512", plan.feature_cache_bytes / picture);
}

double benefit(const PassContext& context, const Plan&) {
  return predict_times(context.inputs, context.draft).vision;
}

}  // namespace

Pass feature_cache_pass() {
  return {.name = "feature_cache",
          .description = "features of pictures kept in memory",
          .choice = Choice::feature_cache,
          .stage = PassStage::leftover,
          .level = 3,
          .obstacle = obstacle,
          .apply = apply,
          .benefit = benefit};
}

}  // namespace qvl
