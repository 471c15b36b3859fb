// Part of the time only, where power is to be saved.
#include "optimizer/passes/pass_list.h"

namespace qvl {
namespace {

std::optional<std::string> obstacle(const PassContext& context) {
  if (context.inputs.config.scheduler_policy == SchedulerPolicy::power_save) return std::nullopt;
  return "the scheduler policy does not save power";
}

std::string apply(const PassContext&, Plan& plan) {
  plan.duty_cycle = kPowerSaveDuty;
  return "the scheduler policy saves power";
}

}  // namespace

Pass duty_cycle_pass() {
  return {.name = "duty_cycle",
          .description = "threads compute part of the time to save power",
          .choice = Choice::duty_cycle,
          .stage = PassStage::placement,
          .level = 1,
          .motive = Motive::demand,
          .obstacle = obstacle,
          .apply = apply};
}

}  // namespace qvl
