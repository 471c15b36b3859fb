// plan_for(): facts of the machine and of the files, handed to the optimizer.
#include "qvl/plan.h"

#include "files/model_files.h"
#include "optimizer/explain.h"
#include "optimizer/passes/pass_list.h"
#include "optimizer/resolve.h"
#include "pipeline/load_decision.h"
#include "pipeline/load_plan.h"
#include "pipeline/memory_guard.h"

namespace qvl {

PlanReport plan_for(const LoadOptions& load, const PlanOptions& options) {
  return with_memory_for("to plan", [&] {
    const ModelFiles files = open_checkpoint(load);
    std::vector<std::string> warnings = files.warnings;
    const PlanInputs inputs = plan_inputs(load, model_facts(files), options.measure, SystemFiles(), warnings);
    PlanReport report = explain(inputs, resolve(inputs, all_passes()));
    report.warnings = std::move(warnings);
    return report;
  });
}

}  // namespace qvl
