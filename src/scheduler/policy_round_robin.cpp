#include "scheduler/policy_round_robin.h"

#include <algorithm>

namespace qvl::scheduling {
namespace {

// So that a round of as many clients allocates nothing.
constexpr size_t kMostRemembered = 1024;

}  // namespace

uint64_t RoundRobin::start_of(ClientId client, Slot slot) const {
  const Turns& turns = slots_[static_cast<size_t>(slot)];
  const auto found = turns.next.find(client);
  return found == turns.next.end() ? turns.round : std::max(found->second, turns.round);
}

std::strong_ordering RoundRobin::preference(const Job& a, const Job& b, Slot slot, const Situation&) const {
  if (a.request.client == b.request.client) return std::strong_ordering::equal;
  const auto starts = start_of(a.request.client, slot) <=> start_of(b.request.client, slot);
  return starts != 0 ? starts : a.order <=> b.order;
}

void RoundRobin::taken(const Job& job, Slot slot) {
  Turns& turns = slots_[static_cast<size_t>(slot)];
  const uint64_t start = start_of(job.request.client, slot);
  turns.round = start;
  // Whoever is not beyond the round is level with it and need not be remembered: clients come and go.
  if (turns.next.size() >= kMostRemembered) {
    std::erase_if(turns.next, [start](const auto& client) { return client.second <= start; });
  }
  turns.next[job.request.client] = start + 1;
}

}  // namespace qvl::scheduling
