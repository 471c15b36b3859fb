// hardware_info(): the machine under the flat names that reports use.
#include "qvl/hardware.h"

#include "pipeline/system/json.h"
#include "pipeline/system/report.h"
#include "qvl/system.h"

namespace qvl::system {
namespace {

void put_cpu(OrderedJson& out, const CpuInfo& cpu, const BudgetInfo& budget) {
  out["cpu_count"] = cpu.online;
  out["cpu_count_physical"] = cpu.cores;
  out["cpu_count_performance"] = cpu.performance_cores;
  out["cpu_packages"] = cpu.packages;
  out["numa_nodes"] = cpu.numa_nodes;
  out["cpu_caches"] = cpu.caches;
  out["instruction_sets"] = cpu.isas;
  out["cpu_budget_threads"] = budget.threads;
  out["cpu_budget_cause"] = budget.threads_cause;
  out["cpu_quota"] = or_null(budget.quota_cpus);
}

void put_memory(OrderedJson& out, const MemoryInfo& memory, const BudgetInfo& budget) {
  out["memory_total_gb"] = in_units(memory.total_bytes, kGibibyte);
  out["memory_available_gb"] = in_units(memory.available_bytes, kGibibyte);
  out["memory_budget_gb"] = in_units(budget.memory_bytes, kGibibyte);
  out["memory_budget_cause"] = budget.memory_cause;
}

}  // namespace

OrderedJson hardware_keys(const HardwareInfo& info) {
  OrderedJson out = OrderedJson::object();
  put_cpu(out, info.cpu, info.budget);
  put_memory(out, info.memory, info.budget);
  out["memory_read_gb_s"] = or_null(info.measured.memory_read_gb_s);
  out["int8_gop_s"] = info.measured.int8_gop_s;
  OrderedJson& disks = out["disks"] = OrderedJson::array();
  for (const DiskInfo& disk : info.disks) {
    disks.push_back({{"name", disk.name},
                     {"model", text_or_null(disk.model)},
                     {"size_gb", in_units(disk.size_bytes, kGibibyte)},
                     {"kind", disk.kind}});
  }
  OrderedJson& gpus = out["gpu_info"] = OrderedJson::array();
  for (const GpuInfo& gpu : info.gpus) {
    gpus.push_back({{"name", text_or_null(gpu.name)},
                    {"compute_capability", text_or_null(gpu.compute_capability)},
                    {"memory_total_mb", in_units(gpu.memory_bytes, kMebibyte)}});
  }
  out["gpu_problem"] = text_or_null(info.gpu_problem);
  out["pressure_files"] = info.pressure_files;
  return out;
}

std::string hardware_info() { return hardware_keys(read_hardware_info()).dump(); }

}  // namespace qvl::system
