// Packed weights kept in a file and mapped from it: packed once, shared by processes, and the system may take
// their memory back.
#include "optimizer/passes/pass_list.h"

namespace qvl {
namespace {

std::optional<std::string> obstacle(const PassContext& context) {
  const uint64_t packed = packed_bytes(context.inputs.model, context.draft.forms);
  const auto free = context.inputs.hardware.cache_free_bytes;
  if (packed == 0) return "no weights are packed";
  if (!free) return "there is no cache folder";
  if (packed < kLeastPackedFile) return mebibytes(packed) + " are packed faster than a file is worth";
  if (packed > *free)
    return "the disk has " + mebibytes(*free) + " free, the file takes " + mebibytes(packed);
  return std::nullopt;
}

std::string apply(const PassContext& context, Plan& plan) {
  plan.keep_packed = true;
  return mebibytes(packed_bytes(context.inputs.model, plan.forms)) + " are packed at the first start alone";
}

// A start that finds the file.
double benefit(const PassContext& context, const Plan& applied) {
  return predict_times(context.inputs, context.draft).start - predict_times(context.inputs, applied).start;
}

}  // namespace

Pass packed_cache_pass() {
  return {.name = "packed_cache",
          .description = "packed weights are kept in the cache folder and mapped",
          .choice = Choice::packed_weights,
          .stage = PassStage::storage,
          .level = 2,
          .obstacle = obstacle,
          .apply = apply,
          .benefit = benefit};
}

}  // namespace qvl
