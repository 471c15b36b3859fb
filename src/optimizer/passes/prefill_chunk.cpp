// Chunks of a prompt that are over soon enough for others to get their turn.
#include <algorithm>

#include "base/error.h"
#include "optimizer/passes/pass_list.h"

namespace qvl {
namespace {

constexpr double kStepSeconds = 0.5;
// Below, weights are read too often: on one core 64 tokens at a time took a tenth more processor time than
// 512, on two cores 192 took the same. Above, nothing is gained.
constexpr int64_t kLeast = 128, kMost = 512, kMultiple = 64;

std::string apply(const PassContext& context, Plan& plan) {
  const double each = prefill_token_seconds(context.inputs, context.draft);
  const double tokens = std::min(kStepSeconds / each, static_cast<double>(kMost));
  plan.prefill_chunk = std::max(static_cast<int64_t>(tokens) / kMultiple * kMultiple, kLeast);
  return fmt::format("a chunk takes about {:.2f} s", each * static_cast<double>(plan.prefill_chunk));
}

}  // namespace

Pass prefill_chunk_pass() {
  return {.name = "prefill_chunk",
          .description = "prompts in chunks short enough to let others in",
          .choice = Choice::prefill_chunk,
          .stage = PassStage::steps,
          .level = 1,
          .motive = Motive::demand,
          .obstacle = [](const PassContext&) { return std::optional<std::string>(); },
          .apply = apply};
}

}  // namespace qvl
