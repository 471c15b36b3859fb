// A thread on each core.
#include "base/error.h"
#include "optimizer/passes/pass_list.h"
#include "optimizer/passes/thread_limit.h"

namespace qvl {
namespace {

std::optional<std::string> obstacle(const PassContext& context) {
  if (granted_threads(context.inputs, context.inputs.usable_cores()) > 1) return std::nullopt;
  return fmt::format("one of {} cores is granted", context.inputs.usable_cores());
}

std::string apply(const PassContext& context, Plan& plan) {
  plan.threads = granted_threads(context.inputs, context.inputs.usable_cores());
  return fmt::format("{} cores to use, {} threads asked for", context.inputs.usable_cores(),
                     context.inputs.config.num_compute_threads);
}

}  // namespace

Pass threads_pass() {
  return {.name = "threads",
          .description = "a thread on each core, within quota and configuration",
          .choice = Choice::threads,
          .stage = PassStage::processor,
          .level = 1,
          .obstacle = obstacle,
          .apply = apply};
}

}  // namespace qvl
