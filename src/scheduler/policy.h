// Which request goes first: the part of the scheduler that an algorithm may decide.
#pragma once

#include <memory>

#include "scheduler/request.h"
#include "scheduler/unit_costs.h"

namespace qvl::scheduling {

enum class Algorithm : uint8_t { round_robin, priority, load_balanced };

std::string_view to_string(Algorithm algorithm);

/// What requests compete for.
enum class Slot : uint8_t {
  prepare,  ///< to be read and preprocessed next
  grant,    ///< to get what it holds next
  compute,  ///< the vision steps or the chunk of a prompt of this step; one request each step
  decode,   ///< a place in this step's batch of decoders
};

/// What a policy may look at beside the requests themselves.
struct Situation {
  Moment moment;
  const UnitCosts& costs;
  uint32_t decoders = 0;          ///< granted requests that decode
  uint32_t max_decode_batch = 1;  ///< places in a step
};

/// Which halves of a step run where both could.
enum class Mix : uint8_t { both, compute_only, decode_only };

/// An order of requests. This one is the order of arrival. Thread-compatible.
class Policy {
 public:
  virtual ~Policy() = default;

  /// Whether `a` is taken before `b`: a strict order of all jobs that compete for `slot`.
  virtual bool before(const Job& a, const Job& b, Slot slot, const Situation& situation) const;
  /// For a step whose compute half would be `compute`'s while `decoder` leads the decoders.
  virtual Mix mix(const Job& compute, const Job& decoder, const Situation& situation) const;
  /// `job` has got the slot.
  virtual void taken(const Job& job, Slot slot);
};

/// `ageing_us` >= 1: what ClassPriority says.
std::unique_ptr<Policy> make_policy(Algorithm algorithm, int64_t ageing_us);

}  // namespace qvl::scheduling
