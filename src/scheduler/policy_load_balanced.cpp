#include "scheduler/policy_load_balanced.h"

#include <algorithm>

#include "base/checked.h"

namespace qvl::scheduling {
namespace {

// Measured loads swing by about so much with what single steps happen to hold.
constexpr int kMarginPermille = 250;

// The part of its remaining time that a request computes, in permille; the rest it decodes. No product
// overflows: units are below 2^32 and costs at most 6e8 us.
int64_t compute_share(const Work& left, const UnitCosts& costs) {
  const int64_t compute_us =
      left.vision_steps * costs.us(StepPart::vision) + left.prompt_tokens * costs.us(StepPart::prefill);
  const int64_t all_us = compute_us + left.answer_tokens * costs.us(StepPart::decode);
  return compute_us / (all_us / 1000 + 1);
}

bool batch_is_full(const Situation& at) { return at.decoders >= at.max_decode_batch; }

}  // namespace

std::strong_ordering LoadBalanced::preference(const Job& a, const Job& b, Slot slot,
                                              const Situation& at) const {
  constexpr auto open = std::strong_ordering::equal;
  if (ageing_.oldest_is_next(slot)) return a.order <=> b.order;
  if (slot == Slot::decode) return open;
  if (slot == Slot::prepare && at.load.io_permille > at.load.compute_permille + kMarginPermille) {
    return a.left.prepare_units <=> b.left.prepare_units;
  }
  const bool processors_idle = at.load.compute_permille + kMarginPermille < at.load.bandwidth_permille;
  if (batch_is_full(at) && !processors_idle) return open;

  const int64_t share_a = compute_share(a.left, at.costs), share_b = compute_share(b.left, at.costs);
  return batch_is_full(at) ? share_b <=> share_a : share_a <=> share_b;
}

int64_t LoadBalanced::prefill_budget_us(int64_t most_us, const Situation& at) const {
  if (!batch_is_full(at)) return most_us;
  const auto decode_us = static_cast<uint64_t>(at.costs.us(StepPart::decode));
  const auto prefill_us = static_cast<uint64_t>(at.costs.us(StepPart::prefill));
  const auto prompts_us = checked_mul(prefill_us, at.prompt_tokens);
  const auto answers_us = checked_mul(decode_us, at.answer_tokens);
  if (!prompts_us || !answers_us) return most_us;
  // As long beside this batch as all prompts are beside all answers.
  const auto budget_us = checked_mul(decode_us * at.max_decode_batch, *prompts_us / 1000);
  return budget_us ? static_cast<int64_t>(std::min<uint64_t>(most_us, *budget_us / (*answers_us / 1000 + 1)))
                   : most_us;
}

void LoadBalanced::taken(const Job&, Slot slot) { ageing_.pass(slot); }

}  // namespace qvl::scheduling
