// From passes to a plan: which are taken, and why the others are not.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "optimizer/memory_model.h"
#include "optimizer/pass.h"
#include "optimizer/plan.h"
#include "optimizer/time_model.h"

namespace qvl {

enum class PassVerdict {
  taken,
  level,         ///< the optimisation level is below its own
  switched_off,  ///< by name
  obstacle,      ///< it cannot serve here
  missing_need,  ///< a pass it needs is not taken
  excluded,      ///< another one is better, and both cannot be
  no_gain,       ///< it saves no time
  no_room,       ///< the memory cap has no room for it
};

struct PassOutcome {
  std::string name = {}, description = {};
  Choice choice = {};
  PassVerdict verdict = PassVerdict::taken;
  std::string value = {};   ///< what it would choose; empty where that was not asked
  std::string reason = {};  ///< why it is taken or not
  double seconds = 0;       ///< it saves
  int64_t bytes = 0;        ///< it takes, less where negative
};

struct Resolution {
  Plan plan = {};
  std::vector<PassOutcome> outcomes = {};  ///< of all passes, by choice and name
  PlannedMemory memory = {};
  StageTimes times = {};
};

/// Stage by stage takes what is demanded and what saves most time, each choice once, nothing beside what it
/// excludes; passes that the cap has no room for are given up, those of least gain first. The result does not
/// depend on the order of `passes` and never takes more than the cap. Throws Error{limit} with all
/// parts where no plan fits; Error{usage} where `inputs.disabled` names no pass.
Resolution resolve(const PlanInputs& inputs, std::vector<Pass> passes);
/// The plan alone; where the cap holds none, the one that takes least, with the same choices that
/// Error{limit} tells of.
Plan plan_or_least(const PlanInputs& inputs, std::vector<Pass> passes);

}  // namespace qvl
