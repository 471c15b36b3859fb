// What loading a checkpoint obeys: the optimizer's plan for it on this machine.
#pragma once

#include <string>
#include <vector>

#include "base/system_files.h"
#include "files/model_files.h"
#include "optimizer/model_facts.h"
#include "optimizer/resolve.h"
#include "qvl/plan.h"

namespace qvl {

/// Everything the optimizer looks at, for `load`, its checkpoint and the machine of `files`. Rates that
/// nobody has measured are measured where `measure` says so. What could not be kept is a line in `warnings`.
PlanInputs plan_inputs(const LoadOptions& load, const ModelFacts& model, PlanOptions::Measure measure,
                       const SystemFiles& files, std::vector<std::string>& warnings);

/// The plan by which `load` is loaded on the machine of `files`. Where the memory cap holds none, the one of
/// least memory: the ledger then tells what is missing. Throws Error{usage} as resolve() and plan_wishes().
Plan plan_to_load(const LoadOptions& load, const ModelFacts& model, const SystemFiles& files);

/// The configuration with what `plan` decides put into it.
SystemOptimizationConfig planned_config(const LoadOptions& load, const Plan& plan);

}  // namespace qvl
