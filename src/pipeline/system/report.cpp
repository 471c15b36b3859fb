#include "pipeline/system/report.h"

#include <unistd.h>

#include "profiler/profile_json.h"
#include "profiler/profile_summary.h"

namespace qvl::system {

OrderedJson summary_keys(const qvl::SystemProfiler* sampler) {
  OrderedJson out = {{"profiling", sampler != nullptr && sampler->running()}};
  const auto history =
      sampler == nullptr ? std::vector<qvl::SystemProfiler::SamplePtr>{} : sampler->history();
  out.update(qvl::to_json(summarise(history, static_cast<uint32_t>(::getpid()))));
  out["latest"] = history.empty() ? OrderedJson() : qvl::to_json(*history.back());
  const ProfilerCost cost = sampler == nullptr ? ProfilerCost{} : sampler->cost();
  out["cost"] = {{"cpu_s", cost.cpu_s}, {"longest_ms", 1e3 * cost.longest_s}, {"failed", cost.failed}};
  return out;
}

OrderedJson memory_keys(const MemoryReport& report) {
  OrderedJson out = qvl::to_json(report);
  const TensorPoolStats& pool = report.pool;
  out["tensor_pool"] = {{"hits", pool.hits},
                        {"misses", pool.misses},
                        {"refusals", pool.refusals},
                        {"hit_rate", pool.hit_rate()},
                        {"kept_bytes", pool.kept_bytes},
                        {"kept_blocks", pool.kept_blocks},
                        {"in_use_bytes", pool.in_use_bytes},
                        {"in_use_blocks", pool.in_use_blocks},
                        {"peak_in_use_bytes", pool.peak_in_use_bytes}};
  return out;
}

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
