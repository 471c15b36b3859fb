// Decoder weights in 4 bits where the checkpoint bears it: half the bytes of a token.
#include <algorithm>

#include "optimizer/passes/pass_list.h"

namespace qvl {
namespace {

// What caches hold is not read from memory: 4 bits would cost precision and save nothing.
constexpr uint64_t kLeastDecoderBytes = 64 << 20;

bool bears_4_bits(const LinearFacts& layer) {
  return layer.place == WeightPlace::text &&
         std::all_of(layer.parts.begin(), layer.parts.end(), [](const LinearFacts::Part& part) {
           return resolved(WeightChoice::automatic, WeightPlace::text, part.stored) == WeightChoice::q4;
         });
}

std::optional<std::string> obstacle(const PassContext& context) {
  if (auto fixed = fixed_by_caller(context.inputs.wishes.text)) return fixed;
  const auto& linears = context.inputs.model.linears;
  if (std::none_of(linears.begin(), linears.end(), bears_4_bits)) {
    return "the file holds finer blocks: 4 bits would lose what they keep";
  }
  ModelForms eight = context.draft.forms;
  eight.text = WeightChoice::q8;
  const uint64_t bytes = decode_bytes(context.inputs.model, eight);
  if (bytes < kLeastDecoderBytes) {
    return "the decoder is small, " + mebibytes(bytes) +
           " in 8 bits: the error bound does not hold for so little";
  }
  return std::nullopt;
}

std::string apply(const PassContext& context, Plan& plan) {
  // Tensors that the file keeps in finer blocks become 8 bits.
  plan.forms.text = WeightChoice::automatic;
  return "a token reads " + mebibytes(decode_bytes(context.inputs.model, plan.forms)) +
         "; what the file keeps finer stays in 8 bits";
}

}  // namespace

Pass weights_4_bit_pass() {
  return {.name = "weights_4_bit",
          .description = "decoder weights in 4-bit integers",
          .choice = Choice::text_weights,
          .stage = PassStage::weights,
          .level = 3,
          .excludes = {"weights_8_bit"},
          .obstacle = obstacle,
          .apply = apply};
}

}  // namespace qvl
