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

bool Policy::before(const Job& a, const Job& b, Slot, const Situation&) const { return a.order < b.order; }

Mix Policy::mix(const Job&, const Job&, const Situation&) const { return Mix::both; }

void Policy::taken(const Job&, Slot) {}

std::unique_ptr<Policy> make_policy(Algorithm algorithm, int64_t ageing_us) {
  switch (algorithm) {
    case Algorithm::round_robin:
      return std::make_unique<RoundRobin>();
    case Algorithm::priority:
      return std::make_unique<ClassPriority>(ageing_us);
    case Algorithm::load_balanced:
      return std::make_unique<LoadBalanced>();
  }
  QVL_CHECK(false);
}

}  // namespace qvl::scheduling
