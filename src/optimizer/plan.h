// Every choice of how a checkpoint runs on a machine: plain values that the engine reads.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "optimizer/forms.h"
#include "optimizer/hardware_facts.h"
#include "optimizer/model_facts.h"
#include "qvl/system_config.h"

namespace qvl {

/// The defaults are the baseline of level 0: one thread, scalar code, numbers as stored, nothing kept.
struct Plan {
  ModelForms forms = {};

  int threads = 1;                    ///< that compute
  std::vector<int> pinned_cpus = {};  ///< one for each thread; empty: the system moves threads
  int64_t spin_us = 0;                ///< a thread waits awake so long before it sleeps
  double duty_cycle = 1;              ///< share of the time that threads compute

  bool keep_packed = false;   ///< packed weights lie in a file of the cache folder and are mapped from it
  bool huge_weights = false;  ///< advice for packed weights in memory of our own
  bool huge_pages = false;    ///< advice for keys and values, scratch and pool

  int64_t prefill_chunk = 512;         ///< tokens of a prompt computed together
  int64_t vision_blocks_per_step = 0;  ///< for a picture of 512 x 512, between two looks at other
                                       ///< requests; 0: no tower
  int64_t context_tokens = 0;          ///< of all sequences together, for which memory is planned
  int64_t picture_patches = 0;         ///< of the largest picture for which memory is planned

  uint64_t pool_bytes = 0;                    ///< kept for reuse, at most
  uint64_t feature_cache_bytes = 0;           ///< features of pictures, in memory
  uint64_t prefix_cache_bytes = 0;            ///< keys and values of finished sequences
  uint64_t disk_feature_cache_bytes = 0;      ///< features of pictures, in the cache folder
  std::optional<int64_t> trim_interval = {};  ///< operations between clean-ups; nothing: none

  bool operator==(const Plan&) const = default;
};

/// What the caller has fixed: passes that would choose it are left out.
struct PlanWishes {
  std::optional<Isa> isa = {};
  std::optional<WeightChoice> text = {}, vision = {};
  std::optional<KvForm> kv = {};
};

/// Everything a plan depends on.
struct PlanInputs {
  ModelFacts model = {};
  HardwareFacts hardware = {};
  SystemOptimizationConfig config = {};  ///< valid
  PlanWishes wishes = {};
  std::optional<uint64_t> memory_limit_bytes = {};  ///< in place of the configuration's share
  std::set<std::string> disabled = {};              ///< names of passes

  /// The hard cap of all memory of the process.
  uint64_t memory_cap() const;
  /// Processors within the affinity mask: one of each core first, faster cores first. At least one; throws
  /// Error{usage} where the mask leaves none.
  std::vector<CpuFacts> usable_cpus() const;
  int usable_cores() const;
};

}  // namespace qvl
