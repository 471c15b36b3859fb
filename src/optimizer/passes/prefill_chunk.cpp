// Chunks of a prompt that are over soon enough for others to get their turn.
#include <algorithm>

#include "base/error.h"
#include "optimizer/passes/pass_list.h"

namespace qvl {
namespace {

constexpr double kStepSeconds = 0.5;
constexpr int64_t kLeast = 64, kMost = 512;  // below, weights are read too often; above, nothing is gained

std::string apply(const PassContext& context, Plan& plan) {
  const double each = prefill_token_seconds(context.inputs, context.draft);
  const double tokens = std::min(kStepSeconds / each, static_cast<double>(kMost));
  plan.prefill_chunk = std::max(static_cast<int64_t>(tokens) / kLeast * kLeast, kLeast);
  return fmt::format("a chunk takes about {:.2f} s", each * static_cast<double>(plan.prefill_chunk));
}

}  // namespace

Pass prefill_chunk_pass() {
  return {.name = "prefill_chunk",
          .description = "prompts in chunks short enough to let others in",
          .choice = Choice::prefill_chunk,
          .stage = PassStage::leftover,
          .level = 1,
          .motive = Motive::demand,
          .obstacle = [](const PassContext&) { return std::optional<std::string>(); },
          .apply = apply};
}

}  // namespace qvl
