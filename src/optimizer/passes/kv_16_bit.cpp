// Keys and values as blocks of 16-bit integers: half the memory of float32, twice its speed.
#include "base/error.h"
#include "optimizer/passes/pass_list.h"

namespace qvl {
namespace {

std::optional<std::string> obstacle(const PassContext& context) {
  const int64_t width = context.inputs.model.text.head_dim;
  if (!fits_blocks(width)) return fmt::format("heads of width {} do not fit its blocks", width);
  return fixed_by_caller(context.inputs.wishes.kv);
}

std::string apply(const PassContext&, Plan& plan) {
  plan.forms.kv = KvForm::i16;
  return "13 bits of precision at half the memory of float32";
}

}  // namespace

Pass kv_16_bit_pass() {
  return {.name = "kv_16_bit",
          .description = "keys and values in 16-bit integers",
          .choice = Choice::kv,
          .stage = PassStage::sequences,
          .level = 2,
          .obstacle = obstacle,
          .apply = apply};
}

}  // namespace qvl
