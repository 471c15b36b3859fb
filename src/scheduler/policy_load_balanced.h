// The work whose bottleneck is least loaded now.
#pragma once

#include "scheduler/policy.h"

namespace qvl::scheduling {

/// Vision and prompts are bound by arithmetic, decoding by the memory's bandwidth, preparing by disks. A
/// request needs these one after the other, so what can be chosen is which requests are under way together,
/// and how much of each kind of work a step holds.
///
/// Why a mixed load finishes sooner this way:
///
/// - A pass reads all weights, for one sequence as for eight: decoding is cheap in a full batch and dear in
///   one with free places. So while there are places, bandwidth is what is least loaded, however busy the
///   memory looks, and requests go first that decode much for little computing: they fill the batch
///   soonest.
/// - While the batch is full, measured loads decide: where the processors are less loaded than the memory,
///   requests go first that compute much and decode little; else it is open, and the order of arrival keeps
///   both kinds in the queue, and neither is left over for the end.
/// - In one pass, the arithmetic of a chunk hides behind the read of the weights, but no more of it than
///   the read takes. So beside a full batch a chunk is as long, relative to the batch, as all prompts in
///   sight are to all answers: where answers dominate, prompts are spread thin over passes that hide them
///   whole; where prompts dominate, chunks are as long as the bound on stalls allows.
///
/// Preparing: while disks are busier than processors, the request that needs least of them goes first.
/// Ageing keeps those that fit no moment from starving.
class LoadBalanced : public Policy {
 public:
  explicit LoadBalanced(uint32_t ageing) : ageing_(ageing) {}

  std::strong_ordering preference(const Job& a, const Job& b, Slot slot,
                                  const Situation& situation) const override;
  int64_t prefill_budget_us(int64_t most_us, const Situation& situation) const override;
  void taken(const Job& job, Slot slot) override;

 private:
  Ageing ageing_;
};

}  // namespace qvl::scheduling
