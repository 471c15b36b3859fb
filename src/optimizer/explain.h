// A resolution as a report: every choice with cause, alternatives, predicted memory and time.
#pragma once

#include "optimizer/resolve.h"
#include "qvl/plan_report.h"

namespace qvl {

PlanReport explain(const PlanInputs& inputs, const Resolution& resolution);

}  // namespace qvl
