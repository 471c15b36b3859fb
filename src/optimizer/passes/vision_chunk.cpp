// Blocks of the vision tower between two looks at other requests, for a picture of 512 x 512. Of larger ones
// fewer fit the time, but a block is the least.
#include <algorithm>

#include "base/error.h"
#include "optimizer/passes/pass_list.h"

namespace qvl {
namespace {

constexpr double kStepSeconds = 0.25;

std::optional<std::string> obstacle(const PassContext& context) {
  if (!context.inputs.model.has_vision) return "there is no vision tower";
  return std::nullopt;
}

std::string apply(const PassContext& context, Plan& plan) {
  const double block = vision_block_seconds(context.inputs, context.draft, kReferencePatches);
  const double blocks =
      std::min(kStepSeconds / block, static_cast<double>(context.inputs.model.vision.depth));
  plan.vision_blocks_per_step = std::max<int64_t>(static_cast<int64_t>(blocks), 1);
  return fmt::format("a block takes about {:.3f} s for a picture of 512 x 512", block);
}

}  // namespace

Pass vision_chunk_pass() {
  return {.name = "vision_chunk",
          .description = "pictures in steps short enough to let others in",
          .choice = Choice::vision_chunk,
          .stage = PassStage::steps,
          .level = 1,
          .motive = Motive::demand,
          .obstacle = obstacle,
          .apply = apply};
}

}  // namespace qvl
