// The report on how the machine is used, from its parts.
#pragma once

#include "base/json.h"
#include "qvl/hardware.h"
#include "qvl/system.h"

namespace qvl::system {

/// The keys of hardware_info().
OrderedJson hardware_keys(const HardwareInfo& info);

/// What the whole report is made of; the first four as their components' reports are.
struct ReportParts {
  OrderedJson system_summary, hardware_info, memory_efficiency, resource_status;
  OperationCounts counts = {};
  SystemOptimizationConfig config = {};
};
/// The keys of system_optimization_report().
OrderedJson to_json(ReportParts parts);

}  // namespace qvl::system
