// The machine as qvl sees it, for scripts and reports.
#include "pipeline/system/json.h"
#include "qvl/hardware.h"

namespace qvl {
using system::or_null;
using system::text_or_null;

std::string to_json(const HardwareInfo& info) {
  OrderedJson json = {
      {"cpu",
       {{"online", info.cpu.online},
        {"cores", info.cpu.cores},
        {"performance_cores", info.cpu.performance_cores},
        {"packages", info.cpu.packages},
        {"numa_nodes", info.cpu.numa_nodes},
        {"caches", info.cpu.caches},
        {"isas", info.cpu.isas},
        {"source", info.cpu.source}}},
      {"budget",
       {{"threads", info.budget.threads},
        {"threads_cause", info.budget.threads_cause},
        {"quota_cpus", or_null(info.budget.quota_cpus)},
        {"memory_bytes", info.budget.memory_bytes},
        {"memory_cause", info.budget.memory_cause}}},
      {"memory",
       {{"total_bytes", info.memory.total_bytes}, {"available_bytes", or_null(info.memory.available_bytes)}}},
      {"measured",
       {{"memory_read_gb_s", or_null(info.measured.memory_read_gb_s)},
        {"int8_gop_s", info.measured.int8_gop_s}}},
      {"disks", OrderedJson::array()},
      {"gpus", OrderedJson::array()},
      {"gpu_problem", text_or_null(info.gpu_problem)},
      {"pressure_files", info.pressure_files}};
  for (const DiskInfo& disk : info.disks) {
    json["disks"].push_back({{"name", disk.name},
                             {"model", text_or_null(disk.model)},
                             {"size_bytes", or_null(disk.size_bytes)},
                             {"kind", disk.kind}});
  }
  for (const GpuInfo& gpu : info.gpus) {
    json["gpus"].push_back({{"name", text_or_null(gpu.name)},
                            {"compute_capability", text_or_null(gpu.compute_capability)},
                            {"memory_bytes", or_null(gpu.memory_bytes)}});
  }
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace qvl
