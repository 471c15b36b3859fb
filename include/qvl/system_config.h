// How qvl may use the machine: one plain structure that C++, JSON files and the command line share.
//
//   auto config = qvl::SystemOptimizationConfig{.num_compute_threads = 2, .memory_limit_ratio = 0.5};
//   qvl::validate(config);
//
// What each field may be, and its line of help: qvl/config_fields.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "qvl/error.h"

namespace qvl {

/// A set of processors by their numbers in the system; as many as Linux can have. Immutable but by
/// assignment, thread-compatible.
class CpuMask {
 public:
  static constexpr size_t kMostCpus = 8192;

  CpuMask() = default;
  /// Bit i stands for processor i: a mask of up to 64 processors is written as a number.
  CpuMask(uint64_t bits);  // NOLINT: converts on purpose
  /// Of "0xff" or "255", the hexadecimal form for up to kMostCpus processors; nothing for any other text.
  static std::optional<CpuMask> parse(std::string_view text);

  bool empty() const { return words_.empty(); }
  bool contains(int cpu) const;
  /// "0xff", without leading zeros.
  std::string text() const;
  bool operator==(const CpuMask&) const = default;

 private:
  std::vector<uint64_t> words_;  // lowest first; the last is not 0
};

/// How hard the machine is driven.
enum class SchedulerPolicy {
  performance,  ///< all of the processor budget, threads wait awake
  balanced,     ///< all of the budget, threads sleep as soon as they wait
  power_save,   ///< half of the cores, kPowerSaveDuty of the time
};

/// The share of the time that threads compute under SchedulerPolicy::power_save. On battery, where the
/// control loop runs, they rest half as long again.
constexpr double kPowerSaveDuty = 0.5;

/// Which request gets the next step.
enum class SchedulingAlgorithm { round_robin, priority, load_balanced };

/// Plain data; validate() tells whether every value is within its range.
struct SystemOptimizationConfig {
  int64_t num_compute_threads = 4;  ///< at most; never more than the processor budget
  int64_t num_io_threads = 2;
  int64_t num_preprocess_threads = 4;
  int64_t thread_priority = 1;                    ///< 0 normal, 1 above normal, 2 high
  std::optional<CpuMask> cpu_affinity_mask = {};  ///< unset: all this process may use
  SchedulerPolicy scheduler_policy = SchedulerPolicy::performance;
  double memory_limit_ratio = 0.8;       ///< of the memory this process may use: a hard cap
  int64_t memory_pool_size = 268435456;  ///< bytes kept for reuse, at most
  int64_t memory_cleanup_interval = 10;  ///< operations
  bool enable_profiling = true;
  double profile_interval = 1.0;  ///< seconds
  bool profile_memory = true;
  bool profile_compute = true;
  bool resource_scheduling_enabled = true;
  SchedulingAlgorithm scheduling_algorithm = SchedulingAlgorithm::round_robin;
  double resource_reservation_ratio = 0.7;  ///< of each resource, held by all requests together
  bool dynamic_resource_adjustment = true;
  int64_t optimization_level = 3;  ///< 0 to 3

  /// Filled from the processors and the memory this process may use; what the command line begins with.
  static SystemOptimizationConfig for_this_machine();

  bool operator==(const SystemOptimizationConfig&) const = default;
};

/// Bytes of "1073741824", "1.5GiB", "2GB", or "60%" of what this process may use. Throws Error{usage} that
/// begins with `name` for any other text and for less than 16 MiB.
uint64_t memory_limit_from_text(std::string_view text, std::string_view name);

/// Throws Error{usage} "memory_limit_ratio: found 1.7, expected a number from 0.05 to 1" for the first field
/// out of its range.
void validate(const SystemOptimizationConfig& config);

/// One JSON object with all fields, on lines of their own; read_config() takes it back.
std::string to_json(const SystemOptimizationConfig& config);

/// `base` with the fields of one JSON object put over it. Throws Error{usage} "NAME: ..." for malformed text
/// (with line and column), unknown and duplicate fields, wrong types, and values out of their range.
SystemOptimizationConfig parse_config(std::string_view json, const std::string& name,
                                      const SystemOptimizationConfig& base);
/// The same of a file of at most 1 MiB.
SystemOptimizationConfig read_config(const std::filesystem::path& path, const SystemOptimizationConfig& base);

}  // namespace qvl
