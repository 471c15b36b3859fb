// The vision tower in integers: 8 bits, or the 7 that AVX2 multiplies faster; attention in 16 bits. Features
// stay within 0.999 (cosine) of float32.
#include "optimizer/passes/pass_list.h"

namespace qvl {
namespace {

std::optional<std::string> obstacle(const PassContext& context) {
  if (!context.inputs.model.has_vision) return "there is no vision tower";
  return fixed_by_caller(context.inputs.wishes.vision);
}

std::string apply(const PassContext& context, Plan& plan) {
  plan.forms.vision = WeightChoice::q8;
  const WeightForm form = many_rows_form(context.draft.forms.isa);
  return form == WeightForm::q7 ? "within the error bound; 7 bits are used, which AVX2 multiplies faster"
                                : "within the error bound";
}

}  // namespace

Pass vision_8_bit_pass() {
  return {.name = "vision_8_bit",
          .description = "vision weights and activations in 8-bit integers, attention in 16",
          .choice = Choice::vision_weights,
          .stage = PassStage::weights,
          .level = 2,
          .obstacle = obstacle,
          .apply = apply};
}

}  // namespace qvl
