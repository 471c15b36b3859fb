// The instruction set whose 8-bit products are the fastest: measured where it was, else the widest.
#include <algorithm>

#include "base/error.h"
#include "optimizer/passes/pass_list.h"

namespace qvl {
namespace {

std::optional<std::string> obstacle(const PassContext& context) {
  if (auto fixed = fixed_by_caller(context.inputs.wishes.isa)) return fixed;
  if (context.inputs.hardware.isas.size() > 1) return std::nullopt;
  return "this processor has none that there are kernels for";
}

std::string apply(const PassContext& context, Plan& plan) {
  const HardwareFacts& hardware = context.inputs.hardware;
  plan.forms.isa = *std::max_element(hardware.isas.begin(), hardware.isas.end(), [&](Isa a, Isa b) {
    return int8_gop_s_per_core(hardware, a) < int8_gop_s_per_core(hardware, b);
  });
  return fmt::format("the fastest of {} that this processor has: {:.0f} GOP/s a core, {}",
                     hardware.isas.size(), int8_gop_s_per_core(hardware, plan.forms.isa),
                     hardware.measured.int8_gop_s.contains(plan.forms.isa) ? "measured" : "assumed");
}

}  // namespace

Pass instruction_set_pass() {
  return {.name = "instruction_set",
          .description = "kernels of the fastest instruction set",
          .choice = Choice::instruction_set,
          .stage = PassStage::processor,
          .level = 1,
          .obstacle = obstacle,
          .apply = apply};
}

}  // namespace qvl
