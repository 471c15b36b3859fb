// The most urgent class first, with ageing.
#pragma once

#include "scheduler/policy.h"

namespace qvl::scheduling {

/// Requests go by class in every slot of every step, those of one class by deadline and arrival.
///
/// - So a request never waits while one of a lower class has the slot it wants, beyond the step that is under
///   way when it becomes ready: steps end after a token, a chunk, or a few vision steps, and each is planned
///   anew.
/// - The two halves of a step are two slots. A prompt of a lower class is computed beside the decoders of a
///   higher one, within the time that Scheduler::next allows it to hold them up. Were it kept out, one person
///   who chats would stop all other prompts, and the batch would run nearly empty.
/// - Ageing is the one exception, so that the lowest class always finishes: see there for its bound.
/// - What a running request holds is not taken from it; see Scheduler::admit for how long a grant may take.
class ClassPriority : public Policy {
 public:
  explicit ClassPriority(uint32_t ageing) : ageing_(ageing) {}

  std::strong_ordering preference(const Job& a, const Job& b, Slot slot,
                                  const Situation& situation) const override;
  void taken(const Job& job, Slot slot) override;

 private:
  Ageing ageing_;
};

}  // namespace qvl::scheduling
