// Keys and values in 8 bits, where 16 do not leave room for the sequences wanted.
#include "base/error.h"
#include "optimizer/memory_fit.h"
#include "optimizer/passes/pass_list.h"

namespace qvl {
namespace {

int64_t context_with(const PassContext& context, KvForm form) {
  Plan plan = context.draft;
  plan.forms.kv = form;
  const auto fitted = fit_memory(context.inputs, plan);
  return fitted ? fitted->context_tokens : 0;
}

std::optional<std::string> obstacle(const PassContext& context) {
  const int64_t width = context.inputs.model.text.head_dim;
  if (!fits_blocks(width)) return fmt::format("heads of width {} do not fit its blocks", width);
  if (auto fixed = fixed_by_caller(context.inputs.wishes.kv)) return fixed;
  const int64_t wanted = wanted_context(context.inputs.model.text);
  if (context_with(context, KvForm::i16) < wanted) return std::nullopt;
  return fmt::format("16 bits leave room for the {} tokens wanted", wanted);
}

std::string apply(const PassContext& context, Plan& plan) {
  plan.forms.kv = KvForm::i8;
  return fmt::format("16 bits leave room for {} tokens, 8 bits for {}", context_with(context, KvForm::i16),
                     context_with(context, KvForm::i8));
}

}  // namespace

Pass kv_8_bit_pass() {
  return {.name = "kv_8_bit",
          .description = "keys and values in 8-bit integers where memory is short",
          .choice = Choice::kv,
          .stage = PassStage::sequences,
          .level = 3,
          .motive = Motive::demand,
          .excludes = {"kv_16_bit"},
          .obstacle = obstacle,
          .apply = apply};
}

}  // namespace qvl
