// Which request goes first: the part of the scheduler that an algorithm may decide.
#pragma once

#include <array>
#include <compare>
#include <memory>

#include "scheduler/request.h"
#include "scheduler/unit_costs.h"

namespace qvl::scheduling {

enum class Algorithm : uint8_t { round_robin, priority, load_balanced };
/// Disabled: everything is granted, in order of arrival.
enum class Scheduling : uint8_t { enabled, disabled };

std::string_view to_string(Algorithm algorithm);

/// What a policy may look at beside the requests themselves.
struct Situation {
  Load load;
  const UnitCosts& costs;
  uint32_t decoders = 0;          ///< granted requests that decode
  uint32_t max_decode_batch = 1;  ///< places in a step
  uint64_t prompt_tokens = 0;     ///< left of all requests, those that wait as well
  uint64_t answer_tokens = 0;
};

/// An order of requests, which may leave open which of some goes first. This one is the order of arrival, and
/// leaves nothing open. Thread-compatible.
class Policy {
 public:
  virtual ~Policy() = default;

  /// Less where `a` is taken before `b`, equal where it is open. With the order of arrival of those, an order
  /// of all jobs that compete for `slot`.
  virtual std::strong_ordering preference(const Job& a, const Job& b, Slot slot,
                                          const Situation& situation) const;
  /// How long the chunk of a prompt may take that is computed beside decoders, at most `most_us`.
  virtual int64_t prefill_budget_us(int64_t most_us, const Situation& situation) const;
  /// `job` has got the slot.
  virtual void taken(const Job& job, Slot slot);
};

/// Keeps an order that could starve some from doing so: one in `every` slots of a kind goes to the request
/// that arrived first of those that want it. So a request gets its last slot of a kind at the latest when
/// `every` times the slots that it and all earlier arrivals need were given. A share, not a time: where
/// requests wait long, a time makes all of them old, and then nothing is left of the order.
/// Thread-compatible.
class Ageing {
 public:
  explicit Ageing(uint32_t every) : every_(every) {}
  bool oldest_is_next(Slot slot) const { return passed_[static_cast<size_t>(slot)] + 1 >= every_; }
  /// The slot was given to somebody.
  void pass(Slot slot) {
    uint32_t& passed = passed_[static_cast<size_t>(slot)];
    passed = oldest_is_next(slot) ? 0 : passed + 1;
  }

 private:
  uint32_t every_;
  std::array<uint32_t, kSlots> passed_{};
};

/// `ageing` >= 1: how many slots Ageing counts to one.
std::unique_ptr<Policy> make_policy(Algorithm algorithm, uint32_t ageing);

}  // namespace qvl::scheduling
