// Huge pages for keys, values and scratch. They are whole ones, so they take memory that a tight cap lacks.
#include "optimizer/passes/huge_page_advice.h"
#include "optimizer/passes/pass_list.h"

namespace qvl {
namespace {

constexpr uint64_t kHugePage = 2 << 20;

std::optional<std::string> obstacle(const PassContext& context) {
  if (auto none = why_no_huge_page_advice(context.inputs.hardware)) return none;
  const TextConfig& text = context.inputs.model.text;
  const uint64_t layer = kv_bytes(text, context.draft.forms.kv, context.draft.context_tokens) /
                         static_cast<uint64_t>(text.num_hidden_layers);
  if (layer < kHugePage) return "a layer of keys and values is smaller than a page of 2 MiB";
  return std::nullopt;
}

std::string apply(const PassContext&, Plan& plan) {
  plan.huge_pages = true;
  return "fewer walks through page tables while keys and values are read";
}

}  // namespace

Pass huge_pages_pass() {
  return {.name = "huge_pages",
          .description = "huge pages for keys, values and scratch",
          .choice = Choice::huge_pages,
          .stage = PassStage::leftover,
          .level = 2,
          .obstacle = obstacle,
          .apply = apply};
}

}  // namespace qvl
