// What the optimizer knows of the machine: plain data, filled from the kernel's files or by a test.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/system_files.h"
#include "kernels/isa.h"

namespace qvl {

/// A logical processor that this process may use.
struct CpuFacts {
  enum class Kind { performance, efficiency };
  int cpu = 0;   ///< its number in the system
  int core = 0;  ///< processors of one core share this number
  Kind kind = Kind::performance;
};

/// What transparent huge pages the kernel gives.
enum class HugePageSupport { never, on_advice, always };

/// Rates of the whole machine as far as they were measured, on one thread for each core.
struct MeasuredRates {
  std::optional<double> read_gb_s = {};    ///< 10^9 bytes a second from memory
  std::map<Isa, double> int8_gop_s = {};   ///< 10^9 8-bit multiplications and additions a second
  std::optional<double> smt_speedup = {};  ///< of products on all threads of the cores over one on each
};

struct HardwareFacts {
  std::string processor = {};            ///< the model's name; empty where the system does not tell
  std::vector<CpuFacts> cpus = {};       ///< at least one
  std::optional<double> cpu_quota = {};  ///< processors' worth of time; nothing: as much as there is
  std::vector<Isa> isas = {};            ///< that processor and system support
  uint64_t memory_bytes = 0;             ///< physical
  std::optional<uint64_t> memory_limit_bytes = {};  ///< of the cgroups, where they leave less
  HugePageSupport huge_pages = HugePageSupport::never;
  double foreign_load = 0;                        ///< processors that others keep busy, at most all of `cpus`
  std::optional<uint64_t> cache_free_bytes = {};  ///< on the disk of the cache folder; nothing: no folder
  MeasuredRates measured = {};

  int cores() const;  ///< physical ones among `cpus`
  /// What the memory cap is a share of: the least of physical memory and limits.
  uint64_t usable_memory() const;
};

/// Reads everything but `cache_free_bytes` and `measured`. What a kernel or a container hides is asked of the
/// system by other means (processors, memory) or left at what harms least: each processor a core of its own,
/// no quota, no huge pages. Throws as machine_memory().
HardwareFacts read_hardware(const SystemFiles& files);

/// Tells machines apart for which other choices may be right: processor, cores, memory in GiB, instruction
/// sets.
std::string fingerprint(const HardwareFacts& hardware);

}  // namespace qvl
