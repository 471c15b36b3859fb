#include "scheduler/policy.h"

#include "base/error.h"
#include "scheduler/policy_load_balanced.h"
#include "scheduler/policy_priority.h"
#include "scheduler/policy_round_robin.h"

namespace qvl::scheduling {

std::string_view to_string(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::round_robin:
      return "round_robin";
    case Algorithm::priority:
      return "priority";
    case Algorithm::load_balanced:
      return "load_balanced";
  }
  QVL_CHECK(false);
}

std::strong_ordering Policy::preference(const Job& a, const Job& b, Slot, const Situation&) const {
  return a.order <=> b.order;
}

int64_t Policy::prefill_budget_us(int64_t most_us, const Situation&) const { return most_us; }

void Policy::taken(const Job&, Slot) {}

std::unique_ptr<Policy> make_policy(Algorithm algorithm, uint32_t ageing) {
  switch (algorithm) {
    case Algorithm::round_robin:
      return std::make_unique<RoundRobin>();
    case Algorithm::priority:
      return std::make_unique<ClassPriority>(ageing);
    case Algorithm::load_balanced:
      return std::make_unique<LoadBalanced>(ageing);
  }
  QVL_CHECK(false);
}

}  // namespace qvl::scheduling
