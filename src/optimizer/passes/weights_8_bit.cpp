// Decoder weights in 8 bits, for which inputs are kept in two planes: logits stay within 0.9997 (mean cosine)
// of float32.
#include "optimizer/passes/pass_list.h"

namespace qvl {
namespace {

std::optional<std::string> obstacle(const PassContext& context) {
  return fixed_by_caller(context.inputs.wishes.text);
}

std::string apply(const PassContext& context, Plan& plan) {
  plan.forms.text = WeightChoice::q8;
  return "within the error bound: " + mebibytes(decode_bytes(context.inputs.model, plan.forms)) +
         " are read for a token";
}

}  // namespace

Pass weights_8_bit_pass() {
  return {.name = "weights_8_bit",
          .description = "decoder weights and activations in 8-bit integers",
          .choice = Choice::text_weights,
          .stage = PassStage::weights,
          .level = 2,
          .obstacle = obstacle,
          .apply = apply};
}

}  // namespace qvl
