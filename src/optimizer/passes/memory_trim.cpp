// Clean-up of caches, pool and heap every few operations.
#include "optimizer/passes/pass_list.h"

namespace qvl {
namespace {

std::string apply(const PassContext& context, Plan& plan) {
  plan.trim_interval = context.inputs.config.memory_cleanup_interval;
  return "memory_cleanup_interval";
}

}  // namespace

Pass memory_trim_pass() {
  return {.name = "memory_trim",
          .description = "memory is cleaned up every few operations",
          .choice = Choice::clean_up,
          .stage = PassStage::leftover,
          .level = 1,
          .motive = Motive::demand,
          .obstacle = [](const PassContext&) { return std::optional<std::string>(); },
          .apply = apply};
}

}  // namespace qvl
