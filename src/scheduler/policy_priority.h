// The most urgent class first, with ageing.
#pragma once

#include "scheduler/policy.h"

namespace qvl::scheduling {

/// Requests go by rank, then by arrival. The rank is the class, 0 for interactive, less one for every
/// `ageing_us` since the request was served last (or arrived, before it was served), and never below 0.
///
/// - A request of a higher rank never waits while one of a lower rank is served, beyond the step that is
/// under
///   way when it becomes ready: steps end after a token, a chunk, or a few vision steps, and the next one is
///   planned anew. So a prompt that becomes urgent stops the decoders of lower ranks. Decoders of lower ranks
///   do join a batch that a higher one decodes in, as long as there are places: its weights are read anyway.
/// - No request starves: one of class c is of the highest rank c * ageing_us after it was served last, and
/// goes
///   before all that arrived after it from then on. So it waits for c * ageing_us and those interactive or
///   aged requests that arrived earlier, which are finitely many and get no new ones. Being served takes its
///   age away: a step of a background request for every 2 * ageing_us is what the others pay.
/// - What a running request holds is not taken from it; see Scheduler for how long a grant may take.
class ClassPriority : public Policy {
 public:
  explicit ClassPriority(int64_t ageing_us) : ageing_us_(ageing_us) {}

  bool before(const Job& a, const Job& b, Slot slot, const Situation& situation) const override;
  Mix mix(const Job& compute, const Job& decoder, const Situation& situation) const override;

  int64_t rank(const Job& job, int64_t now_us) const;

 private:
  int64_t ageing_us_;
};

}  // namespace qvl::scheduling
