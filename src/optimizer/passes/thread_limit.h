// How many threads configuration, quota and policy leave.
#pragma once

#include "optimizer/plan.h"

namespace qvl {

/// Threads out of `available` processors: at most those asked for and those the quota pays, half of that to
/// save power, at least one.
int granted_threads(const PlanInputs& inputs, int available);

}  // namespace qvl
