// Memory kept for reuse, out of what nothing else wants.
#include <algorithm>

#include "optimizer/passes/pass_list.h"

namespace qvl {
namespace {

constexpr uint64_t kLeastBytes = 1 << 20;
constexpr uint64_t kShare = 4;  // of the free memory

uint64_t budget(const PassContext& context) {
  return std::min(static_cast<uint64_t>(context.inputs.config.memory_pool_size), context.free_bytes / kShare);
}

std::optional<std::string> obstacle(const PassContext& context) {
  if (budget(context) >= kLeastBytes) return std::nullopt;
  return mebibytes(budget(context)) + " are left for it";
}

std::string apply(const PassContext& context, Plan& plan) {
  plan.pool_bytes = budget(context);
  return "at most memory_pool_size, and a quarter of what is free";
}

}  // namespace

Pass tensor_pool_pass() {
  return {.name = "tensor_pool",
          .description = "memory kept for reuse",
          .choice = Choice::pool,
          .stage = PassStage::leftover,
          .level = 1,
          .motive = Motive::demand,
          .obstacle = obstacle,
          .apply = apply};
}

}  // namespace qvl
