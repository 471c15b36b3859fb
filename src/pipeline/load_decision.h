// What a checkpoint obeys when it is loaded, and afterwards: the optimizer's plan for it on this machine.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/system_files.h"
#include "files/model_files.h"
#include "optimizer/model_facts.h"
#include "optimizer/resolve.h"
#include "pipeline/run_limits.h"
#include "qvl/plan.h"

namespace qvl {

/// Everything the optimizer looks at, for `load`, its checkpoint and the machine of `files`. Rates that
/// nobody has measured are measured where `measure` says so. What could not be kept is a line in `warnings`.
PlanInputs plan_inputs(const LoadOptions& load, const ModelFacts& model, PlanOptions::Measure measure,
                       const SystemFiles& files, std::vector<std::string>& warnings);

/// How a checkpoint is loaded and run.
struct LoadDecision {
  PlanInputs inputs = {};  ///< what the plan was made from
  Plan plan = {};
  SystemOptimizationConfig config = {};  ///< that of the inputs, with the plan's threads and pool
  RunLimits limits = {};
};

/// What `inputs` decide. Where the memory cap holds no plan, that of least memory: the ledger then tells what
/// is missing. Throws Error{usage} as resolve().
LoadDecision decide(PlanInputs inputs);
/// The same for loading on the machine of `files`. Throws Error{usage} also as plan_wishes().
LoadDecision decide_to_load(const LoadOptions& load, const ModelFacts& model, const SystemFiles& files);

/// A line where the memory cap holds no plan, and the one that takes least is slow.
std::optional<std::string> cap_too_low(const LoadDecision& decision);

/// A line where packed weights, so many bytes, are not kept because the disk is too full for them, which
/// makes every start as slow as the first.
std::optional<std::string> disk_too_full(const LoadOptions& load, const LoadDecision& decision,
                                         uint64_t bytes);

/// What `config` decides for a checkpoint that `loaded` has loaded: the forms of its numbers stay.
LoadDecision decide_again(const LoadDecision& loaded, const SystemOptimizationConfig& config);
/// What of a plan cannot change once the checkpoint is loaded.
inline constexpr Choice kChoicesOfLoading[] = {Choice::instruction_set, Choice::text_weights,
                                               Choice::vision_weights,  Choice::packed_weights,
                                               Choice::huge_weights,    Choice::kv};

/// What of `config` cannot be had any more since the checkpoint is loaded, a line for each such choice:
/// "decoder weights: this configuration would choose f32, loading has chosen q8".
std::vector<std::string> decided_by_loading(const LoadDecision& loaded,
                                            const SystemOptimizationConfig& config);

}  // namespace qvl
