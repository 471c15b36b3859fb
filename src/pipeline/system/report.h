// The report on how the machine is used, from its parts.
#pragma once

#include "base/json.h"
#include "memory/memory_manager.h"
#include "profiler/system_profiler.h"
#include "qvl/hardware.h"
#include "qvl/system.h"

namespace qvl::system {

/// The keys of hardware_info().
OrderedJson hardware_keys(const HardwareInfo& info);
/// The keys of SystemProfiler::system_summary(). `sampler`: null where nothing is sampled.
OrderedJson summary_keys(const qvl::SystemProfiler* sampler);
/// The keys of MemoryManager::memory_efficiency_report().
OrderedJson memory_keys(const MemoryReport& report);

/// What the whole report is made of; the first four as their components' reports are.
struct ReportParts {
  OrderedJson system_summary, hardware_info, memory_efficiency, resource_status;
  OperationCounts counts = {};
  SystemOptimizationConfig config = {};
};
/// The keys of system_optimization_report().
OrderedJson to_json(ReportParts parts);

}  // namespace qvl::system
