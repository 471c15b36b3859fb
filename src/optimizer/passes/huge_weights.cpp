// Huge pages for packed weights. They need memory of our own: pages of a mapped file are small ones.
#include "optimizer/passes/huge_page_advice.h"
#include "optimizer/passes/pass_list.h"

namespace qvl {
namespace {

std::optional<std::string> obstacle(const PassContext& context) {
  if (auto none = why_no_huge_page_advice(context.inputs.hardware)) return none;
  if (packed_bytes(context.inputs.model, context.draft.forms) == 0) return "no weights are packed";
  return std::nullopt;
}

std::string apply(const PassContext&, Plan& plan) {
  plan.huge_weights = true;
  return "packed weights lie in memory of our own";
}

}  // namespace

Pass huge_weights_pass() {
  return {.name = "huge_weights",
          .description = "huge pages for packed weights",
          .choice = Choice::huge_weights,
          .stage = PassStage::storage,
          .level = 2,
          .excludes = {"packed_cache"},
          .obstacle = obstacle,
          .apply = apply};
}

}  // namespace qvl
