#include "scheduler/policy_load_balanced.h"

#include <algorithm>

namespace qvl::scheduling {
namespace {

// The part of its remaining time that a request computes, in permille; the rest it decodes. No product
// overflows: units are below 2^32 and costs at most 6e8 us.
int64_t compute_share(const Work& left, const UnitCosts& costs) {
  const int64_t compute_us =
      left.vision_steps * costs.us(StepPart::vision) + left.prompt_tokens * costs.us(StepPart::prefill);
  const int64_t all_us = compute_us + left.answer_tokens * costs.us(StepPart::decode);
  return compute_us / (all_us / 1000 + 1);
}

int bandwidth_load(const Situation& situation) {
  if (situation.decoders >= situation.max_decode_batch) return situation.load.bandwidth_permille;
  return static_cast<int>(1000 * uint64_t{situation.decoders} / situation.max_decode_batch);
}

}  // namespace

bool LoadBalanced::before(const Job& a, const Job& b, Slot slot, const Situation& situation) const {
  if (slot == Slot::decode || ageing_.oldest_is_next(slot)) return a.order < b.order;

  const Load& load = situation.load;
  if (slot == Slot::prepare && load.io_permille > load.compute_permille) {
    if (a.left.prepare_units != b.left.prepare_units) return a.left.prepare_units < b.left.prepare_units;
    return a.order < b.order;
  }
  const int64_t share_a = compute_share(a.left, situation.costs);
  const int64_t share_b = compute_share(b.left, situation.costs);
  if (share_a == share_b) return a.order < b.order;
  return bandwidth_load(situation) < load.compute_permille ? share_a < share_b : share_a > share_b;
}

void LoadBalanced::taken(const Job&, Slot slot) { ageing_.pass(slot); }

}  // namespace qvl::scheduling
