// A thread on each of the two or more that a core runs at once. Integer products keep a core's vector units
// busy with one, so only a measurement can speak for it.
#include "base/error.h"
#include "optimizer/passes/pass_list.h"
#include "optimizer/passes/thread_limit.h"

namespace qvl {
namespace {

int granted(const PlanInputs& inputs) {
  return granted_threads(inputs, static_cast<int>(inputs.usable_cpus().size()));
}

std::optional<std::string> obstacle(const PassContext& context) {
  const int cores = context.inputs.usable_cores();
  if (static_cast<size_t>(cores) == context.inputs.usable_cpus().size()) return "each core runs one thread";
  if (granted(context.inputs) > cores) return std::nullopt;
  return fmt::format("{} threads are granted for {} cores", granted(context.inputs), cores);
}

std::string apply(const PassContext& context, Plan& plan) {
  plan.threads = granted(context.inputs);
  return fmt::format("all threads of a core do {:.2f} times what one does",
                     smt_speedup(context.inputs.hardware));
}

}  // namespace

Pass smt_pass() {
  return {.name = "smt",
          .description = "several threads on each core",
          .choice = Choice::threads,
          .stage = PassStage::processor,
          .level = 3,
          .excludes = {"threads"},
          .obstacle = obstacle,
          .apply = apply};
}

}  // namespace qvl
