// Equal turns for every client, whatever the lengths or the number of its requests.
#pragma once

#include <array>
#include <unordered_map>

#include "scheduler/policy.h"

namespace qvl::scheduling {

/// The client with the fewest turns goes first; among clients that are level, the one with the request that
/// arrived first. Which of its requests has the turn is open, so deadlines take no turn from anybody else. A
/// turn is one slot: one preparation, one grant, one chunk or group of vision steps, one token. Turns are
/// counted apart for each kind of slot, so a client that only decodes is not charged for the prompts of
/// others. Two clients that both always had more to do than they got are never more than one turn apart in a
/// kind.
///
/// Idle time is not saved up: a client that comes back starts level with the one served last (the start tags
/// of start-time fair queueing, Goyal et al. 1996, with all costs 1).
class RoundRobin : public Policy {
 public:
  std::strong_ordering preference(const Job& a, const Job& b, Slot slot,
                                  const Situation& situation) const override;
  void taken(const Job& job, Slot slot) override;

 private:
  struct Turns {
    uint64_t round = 0;                           // where the client served last began
    std::unordered_map<ClientId, uint64_t> next;  // where clients begin that are beyond the round
  };
  uint64_t start_of(ClientId client, Slot slot) const;

  std::array<Turns, kSlots> slots_;
};

}  // namespace qvl::scheduling
