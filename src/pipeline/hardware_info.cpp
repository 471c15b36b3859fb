// Puts together what profiler, threads, memory and kernels know of the machine.
#include <fmt/format.h>

#include <algorithm>

#include "base/system_files.h"
#include "kernels/isa.h"
#include "memory/memory_limit.h"
#include "memory/memory_size.h"
#include "memory/process_memory.h"
#include "optimizer/hardware_facts.h"
#include "optimizer/measurements.h"
#include "pipeline/load_plan.h"
#include "pipeline/system/options.h"
#include "profiler/disks.h"
#include "profiler/gpu_monitor.h"
#include "profiler/pressure.h"
#include "qvl/hardware.h"
#include "threads/cpu_budget.h"
#include "threads/topology.h"

namespace qvl {
namespace {

std::string describe(const CpuCache& cache) {
  const std::string_view type = cache.type == CpuCache::Type::data          ? " data"
                                : cache.type == CpuCache::Type::instruction ? " instruction"
                                                                            : "";
  return fmt::format("L{}{} {}", cache.level, type, format_bytes(cache.size_bytes));
}

CpuInfo cpu_info(const Topology& topology) {
  CpuInfo info{.online = static_cast<int>(topology.cpus.size()),
               .cores = topology.cores(),
               .packages = topology.packages(),
               .numa_nodes = topology.numa_nodes(),
               .source = topology.source};
  for (const Cpu& cpu : topology.cpus) {
    if (cpu.id == cpu.core && cpu.kind == CpuKind::performance) ++info.performance_cores;
  }
  for (const CpuCache& cache : topology.caches) {
    const std::string text = describe(cache);
    if (std::find(info.caches.begin(), info.caches.end(), text) == info.caches.end()) {
      info.caches.push_back(text);
    }
  }
  for (Isa isa : all_isas()) {
    if (supported(isa)) info.isas.emplace_back(name_of(isa));
  }
  return info;
}

BudgetInfo budget_info(const SystemFiles& files, const CpuBudget& budget) {
  BudgetInfo info{.threads = budget.threads, .threads_cause = budget.cause};
  if (budget.quota) info.quota_cpus = budget.quota->cpus;
  const MemoryLimit limit = memory_limit(files);
  info.memory_bytes = limit.bytes;
  info.memory_cause = limit.cause;
  return info;
}

std::string_view kind_name(DiskKind kind) {
  switch (kind) {
    case DiskKind::solid_state:
      return "solid state";
    case DiskKind::rotating:
      return "rotating";
    case DiskKind::unknown:
      break;
  }
  return "unknown";
}

GpuInfo gpu_info(const GpuFacts& facts) {
  GpuInfo info{.name = facts.name.value_or(""), .memory_bytes = facts.memory_bytes};
  if (const auto& capability = facts.compute_capability) {
    info.compute_capability = fmt::format("{}.{}", capability->major, capability->minor);
  }
  return info;
}

// What loading a checkpoint would plan with.
MeasuredInfo measured_info(const SystemFiles& files, const std::filesystem::path& folder) {
  if (folder.empty()) return {};
  const auto rates = read_rates(rates_file(folder), fingerprint(read_hardware(files)));
  if (!rates) return {};
  MeasuredInfo info{.memory_read_gb_s = rates->read_gb_s};
  for (const auto& [isa, gop_s] : rates->int8_gop_s) info.int8_gop_s[std::string(name_of(isa))] = gop_s;
  return info;
}

}  // namespace

HardwareInfo read_hardware_info(const HardwareOptions& options) {
  const SystemFiles files;
  const auto& mask = options.cpu_affinity_mask;
  const CpuBudget budget = cpu_budget(files, mask ? std::optional(cpu_set(*mask)) : std::nullopt);
  CpuSet permitted;
  for (int cpu : budget.cpus) permitted.add(cpu);
  HardwareInfo info{.cpu = cpu_info(read_topology(files, permitted)), .budget = budget_info(files, budget)};
  info.measured = measured_info(files, cache_folder({.cache_folder = options.cache_folder}));
  const MachineMemory memory = machine_memory(files);
  info.memory = {.total_bytes = memory.total, .available_bytes = memory.available};
  for (const DiskFacts& disk : read_disk_facts(files)) {
    info.disks.push_back({.name = disk.name,
                          .model = disk.model.value_or(""),
                          .size_bytes = disk.size_bytes,
                          .kind = std::string(kind_name(disk.kind))});
  }
  const GpuMonitor gpus;
  for (const GpuFacts& gpu : gpus.gpus()) info.gpus.push_back(gpu_info(gpu));
  info.gpu_problem = gpus.problem().value_or("");
  const PressureSet pressure = read_machine_pressure(files);
  if (pressure.cpu) info.pressure_files.push_back("cpu");
  if (pressure.memory) info.pressure_files.push_back("memory");
  if (pressure.io) info.pressure_files.push_back("io");
  return info;
}

}  // namespace qvl
