// Features of pictures in the cache folder, behind those in memory: they outlive the process.
#include <algorithm>

#include "optimizer/passes/pass_list.h"

namespace qvl {
namespace {

constexpr uint64_t kMostBytes = uint64_t{2} << 30, kLeastBytes = 64 << 20;
constexpr uint64_t kShare = 10;  // of the free disk

std::optional<std::string> obstacle(const PassContext& context) {
  const auto free = context.inputs.hardware.cache_free_bytes;
  if (!free) return "there is no cache folder";
  if (*free / kShare < kLeastBytes) return "the disk has " + mebibytes(*free) + " free";
  return std::nullopt;
}

std::string apply(const PassContext& context, Plan& plan) {
  const uint64_t free = context.inputs.hardware.cache_free_bytes.value_or(0);
  plan.disk_feature_cache_bytes = std::min(free / kShare, kMostBytes);
  return "a tenth of the free disk at most";
}

double benefit(const PassContext& context, const Plan& applied) {
  const double picture =
      static_cast<double>(feature_bytes(context.inputs.model.vision, kReferencePatches)) / 1e9;
  return predict_times(context.inputs, applied).vision - picture;  // read at a gigabyte a second
}

}  // namespace

Pass disk_feature_cache_pass() {
  return {.name = "disk_feature_cache",
          .description = "features of pictures kept in the cache folder",
          .choice = Choice::disk_feature_cache,
          .stage = PassStage::leftover,
          .level = 3,
          .needs = {"feature_cache"},
          .obstacle = obstacle,
          .apply = apply,
          .benefit = benefit};
}

}  // namespace qvl
