// What would be chosen for a checkpoint on this machine, without loading it.
#pragma once

#include <string>

#include "qvl/plan_report.h"
#include "qvl/qvl.h"

namespace qvl {

struct PlanOptions {
  /// What cannot be derived is measured once and kept in the cache folder; `stored` uses what is there.
  enum class Measure { stored, missing } measure = Measure::stored;
};

/// Plans from the files of the checkpoint and what the system tells; no weights are packed. The fields of
/// `load` that fix a choice (weights, isa, ...) are kept to. Throws Error{limit} with the bytes of each
/// part where the memory cap holds no plan, Error{usage} for a pass or a processor that is not there,
/// Error{cancelled} where `load.stop` ended the measuring.
PlanReport plan_for(const LoadOptions& load, const PlanOptions& options);

}  // namespace qvl
