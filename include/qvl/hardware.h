// The machine as qvl sees it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "qvl/system_config.h"

namespace qvl {

struct CpuInfo {
  int online = 0;             ///< logical processors of the machine
  int cores = 0;              ///< physical cores among them
  int performance_cores = 0;  ///< of these; all of them where cores are alike
  int packages = 0, numa_nodes = 0;
  std::vector<std::string> caches = {};  ///< "L1 data 48 KiB", smallest first, each kind once
  std::vector<std::string> isas = {};    ///< instruction sets that kernels exist for and this machine has
  std::string source = {};               ///< what the answer rests on
};

/// What this process may use of the machine.
struct BudgetInfo {
  int threads = 1;
  std::optional<double> quota_cpus = {};  ///< of all enclosing cgroups the least
  std::string threads_cause = {};
  uint64_t memory_bytes = 0;  ///< the least of physical memory and the limits of all enclosing cgroups
  std::string memory_cause = {};
};

struct MemoryInfo {
  uint64_t total_bytes = 0;
  std::optional<uint64_t> available_bytes = {};  ///< nothing where the kernel does not tell
};

struct DiskInfo {
  std::string name = {}, model = {};  ///< model: empty where it is not told
  std::optional<uint64_t> size_bytes = {};
  std::string kind = {};  ///< "solid state", "rotating", "unknown"
};

struct GpuInfo {
  std::string name = {};                ///< empty where the driver does not tell
  std::string compute_capability = {};  ///< "6.1"
  std::optional<uint64_t> memory_bytes = {};
};

/// Rates of this machine, one thread on each core, as they were measured for a plan and kept in the cache
/// folder.
struct MeasuredInfo {
  std::optional<double> memory_read_gb_s = {};    ///< 10^9 bytes a second
  std::map<std::string, double> int8_gop_s = {};  ///< by instruction set, 10^9 multiplications and additions
                                                  ///< of 8 bits a second; those that were measured
};

struct HardwareInfo {
  CpuInfo cpu = {};
  BudgetInfo budget = {};
  MemoryInfo memory = {};
  std::vector<DiskInfo> disks = {};
  std::vector<GpuInfo> gpus = {};
  MeasuredInfo measured = {};
  std::string gpu_problem = {};                  ///< why there are none, where the driver could not be asked
  std::vector<std::string> pressure_files = {};  ///< of "cpu", "memory", "io": stalls that this kernel tells
};

struct HardwareOptions {
  std::optional<CpuMask> cpu_affinity_mask = {};           ///< holds the budget as it holds a pipeline's
  std::optional<std::filesystem::path> cache_folder = {};  ///< as LoadOptions has it
};

/// Reads the kernel's files and the cache folder, and asks the GPU's driver, if there is one; measures
/// nothing. What cannot be read is left out. Throws Error{usage} for a mask without a usable processor,
/// Error{environment} where the system does not tell its memory in any way.
HardwareInfo read_hardware_info(const HardwareOptions& options = {});

/// One JSON object {cpu, budget, memory, measured, disks, gpus, gpu_problem, pressure_files} with the names
/// above; what is not known is null.
std::string to_json(const HardwareInfo& info);

}  // namespace qvl
