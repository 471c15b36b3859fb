// Keys and values of finished sequences: a prompt that begins alike is computed from where it differs.
#include <algorithm>

#include "base/error.h"
#include "optimizer/passes/pass_list.h"

namespace qvl {
namespace {

constexpr uint64_t kShare = 4;  // of the free memory

uint64_t budget(const PassContext& context) {
  const uint64_t all =
      kv_bytes(context.inputs.model.text, context.draft.forms.kv, context.draft.context_tokens);
  return std::min(context.free_bytes / kShare, all);
}

std::optional<std::string> obstacle(const PassContext& context) {
  const uint64_t prompt = kv_bytes(context.inputs.model.text, context.draft.forms.kv, kReferencePromptTokens);
  if (budget(context) >= prompt) return std::nullopt;
  return fmt::format("a prompt of {} tokens takes {}, {} are left for it beside the keys and values",
                     kReferencePromptTokens, mebibytes(prompt), mebibytes(budget(context)));
}

std::string apply(const PassContext& context, Plan& plan) {
  plan.prefix_cache_bytes = budget(context);
  return fmt::format("room for prompts of {} tokens in all",
                     plan.prefix_cache_bytes * static_cast<uint64_t>(kReferencePromptTokens) /
                         kv_bytes(context.inputs.model.text, plan.forms.kv, kReferencePromptTokens));
}

double benefit(const PassContext& context, const Plan&) {
  return predict_times(context.inputs, context.draft).prefill;
}

}  // namespace

Pass prefix_cache_pass() {
  return {.name = "prefix_cache",
          .description = "keys and values of earlier prompts kept in memory",
          .choice = Choice::prefix_cache,
          .stage = PassStage::leftover,
          .level = 3,
          .obstacle = obstacle,
          .apply = apply,
          .benefit = benefit};
}

}  // namespace qvl
