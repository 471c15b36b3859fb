#include "pipeline/system/report.h"

namespace qvl::system {

OrderedJson to_json(ReportParts parts) {
  OrderedJson out = OrderedJson::object();
  out["system_summary"] = std::move(parts.system_summary);
  out["hardware_info"] = std::move(parts.hardware_info);
  out["memory_efficiency"] = std::move(parts.memory_efficiency);
  out["resource_status"] = std::move(parts.resource_status);
  out["operation_count"] = parts.counts.operations;
  out["uptime"] = parts.counts.uptime_s;
  out["config"] = OrderedJson::parse(to_json(parts.config));
  return out;
}

std::string system_optimization_report(const SystemProfiler& profiler, const MemoryManager& memory,
                                       const ResourceScheduler& resources, const OperationCounts& counts,
                                       const SystemOptimizationConfig& config) {
  return to_json(ReportParts{.system_summary = OrderedJson::parse(profiler.system_summary()),
                             .hardware_info = OrderedJson::parse(hardware_info()),
                             .memory_efficiency = OrderedJson::parse(memory.memory_efficiency_report()),
                             .resource_status = OrderedJson::parse(resources.resource_status()),
                             .counts = counts,
                             .config = config})
      .dump();
}

}  // namespace qvl::system
