// Threads bound to processors: caches stay warm, but a thread cannot leave a processor that others want.
#include "base/error.h"
#include "optimizer/passes/pass_list.h"

namespace qvl {
namespace {

constexpr double kMostForeignLoad = 0.25;

std::optional<std::string> obstacle(const PassContext& context) {
  const HardwareFacts& hardware = context.inputs.hardware;
  if (context.draft.threads == 1) return "there is one thread";
  if (hardware.cpu_quota) return "the quota decides when threads run, whatever processor they are on";
  if (hardware.foreign_load > kMostForeignLoad) {
    return fmt::format("others keep {:.2f} processors busy: a bound thread would wait for them",
                       hardware.foreign_load);
  }
  return std::nullopt;
}

std::string apply(const PassContext& context, Plan& plan) {
  const auto cpus = context.inputs.usable_cpus();
  for (size_t i = 0; i < static_cast<size_t>(plan.threads); ++i) plan.pinned_cpus.push_back(cpus[i].cpu);
  return "nobody else uses the processors";
}

}  // namespace

Pass pinning_pass() {
  return {.name = "pinning",
          .description = "each thread on a processor of its own",
          .choice = Choice::pinning,
          .stage = PassStage::placement,
          .level = 2,
          .obstacle = obstacle,
          .apply = apply};
}

}  // namespace qvl
