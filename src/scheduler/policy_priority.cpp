#include "scheduler/policy_priority.h"

namespace qvl::scheduling {

std::strong_ordering ClassPriority::preference(const Job& a, const Job& b, Slot slot,
                                               const Situation&) const {
  if (ageing_.oldest_is_next(slot)) return a.order <=> b.order;
  return a.request.request_class <=> b.request.request_class;
}

void ClassPriority::taken(const Job&, Slot slot) { ageing_.pass(slot); }

}  // namespace qvl::scheduling
