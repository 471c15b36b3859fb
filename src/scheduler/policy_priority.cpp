#include "scheduler/policy_priority.h"

namespace qvl::scheduling {

bool ClassPriority::before(const Job& a, const Job& b, Slot slot, const Situation&) const {
  const RequestClass class_a = a.request.request_class, class_b = b.request.request_class;
  if (class_a == class_b || ageing_.oldest_is_next(slot)) return a.order < b.order;
  return class_a < class_b;
}

void ClassPriority::taken(const Job&, Slot slot) { ageing_.pass(slot); }

}  // namespace qvl::scheduling
