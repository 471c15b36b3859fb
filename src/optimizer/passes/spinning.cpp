// Threads that wait awake: hundreds of loops a token begin at once instead of after a wake-up each.
#include "base/error.h"
#include "optimizer/passes/pass_list.h"

namespace qvl {
namespace {

constexpr int64_t kSpinUs = 20;  // ThreadPool::kAwakeTurns
constexpr double kMostForeignLoad = 0.5;

std::optional<std::string> obstacle(const PassContext& context) {
  const HardwareFacts& hardware = context.inputs.hardware;
  if (context.draft.threads == 1) return "there is one thread";
  if (context.inputs.config.scheduler_policy != SchedulerPolicy::performance) {
    return "the scheduler policy lets threads sleep";
  }
  if (hardware.cpu_quota) {
    return fmt::format("a quota of {:.2f} processors: waiting awake would use it up", *hardware.cpu_quota);
  }
  if (hardware.foreign_load > kMostForeignLoad) {
    return fmt::format("others keep {:.2f} processors busy and would be held up", hardware.foreign_load);
  }
  return std::nullopt;
}

std::string apply(const PassContext&, Plan& plan) {
  plan.spin_us = kSpinUs;
  return "loops follow each other within microseconds";
}

}  // namespace

Pass spinning_pass() {
  // A waiting thread takes turns of the core from the one it waits for.
  return {.name = "spinning",
          .description = "threads wait awake between loops",
          .choice = Choice::spinning,
          .stage = PassStage::placement,
          .level = 1,
          .excludes = {"smt"},
          .obstacle = obstacle,
          .apply = apply};
}

}  // namespace qvl
