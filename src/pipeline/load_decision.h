// What loading a checkpoint obeys: the optimizer's plan for it on this machine.
#pragma once

#include <string>
#include <vector>

#include "files/model_files.h"
#include "optimizer/model_facts.h"
#include "optimizer/resolve.h"
#include "qvl/plan.h"

namespace qvl {

/// Everything the optimizer looks at, for `load` and its checkpoint. Rates that nobody has measured are
/// measured where `measure` says so. What could not be kept is a line in `warnings`.
PlanInputs plan_inputs(const LoadOptions& load, const ModelFacts& model, PlanOptions::Measure measure,
                       std::vector<std::string>& warnings);

/// The plan by which `load` is loaded. Where the memory cap holds none, the one of least memory: the ledger
/// then tells what is missing. Throws Error{usage} as resolve() and plan_wishes().
Plan plan_to_load(const LoadOptions& load, const ModelFacts& model);

/// The configuration with what `plan` decides put into it.
SystemOptimizationConfig planned_config(const LoadOptions& load, const Plan& plan);

}  // namespace qvl
