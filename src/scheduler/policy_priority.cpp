#include "scheduler/policy_priority.h"

#include <algorithm>

namespace qvl::scheduling {

int64_t ClassPriority::rank(const Job& job, int64_t now_us) const {
  const int64_t waited_us = std::max<int64_t>(now_us - job.waiting_since_us, 0);
  return std::max<int64_t>(static_cast<int64_t>(job.request.request_class) - waited_us / ageing_us_, 0);
}

bool ClassPriority::before(const Job& a, const Job& b, Slot, const Situation& situation) const {
  const int64_t rank_a = rank(a, situation.moment.now_us), rank_b = rank(b, situation.moment.now_us);
  return rank_a != rank_b ? rank_a < rank_b : a.order < b.order;
}

Mix ClassPriority::mix(const Job& compute, const Job& decoder, const Situation& situation) const {
  const int64_t of_compute = rank(compute, situation.moment.now_us);
  const int64_t of_decoder = rank(decoder, situation.moment.now_us);
  if (of_compute == of_decoder) return Mix::both;
  return of_compute < of_decoder ? Mix::compute_only : Mix::decode_only;
}

}  // namespace qvl::scheduling
