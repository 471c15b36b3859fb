// Caches of given sizes for a loaded checkpoint. Only for tests: the plan of a small model has none on disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "pipeline/runtime.h"

namespace qvl {

/// What a plan would say where it is worth it. Bytes; 0: none.
struct KeptBudgets {
  uint64_t features = 64 << 20, prefixes = 64 << 20, disk = 64 << 20;
};

/// Gives a checkpoint caches within `budgets`, with their files in `folder`, in place of those it has. Before
/// its first request.
inline void replace_caches(detail::Runtime& runtime, const KeptBudgets& budgets,
                           const std::filesystem::path& folder) {
  Plan plan = runtime.loaded_by.plan;
  plan.feature_cache_bytes = budgets.features;
  plan.prefix_cache_bytes = budgets.prefixes;
  plan.disk_feature_cache_bytes = budgets.disk;
  runtime.caches = std::make_unique<ModelCaches>(
      CacheSetup{.files = runtime.files,
                 .plan = plan,
                 .forms = runtime.network.forms(),
                 .folder = folder,
                 .weights = weights_identity({.network = runtime.network,
                                              .packed_contents = runtime.packed.contents,
                                              .state = "",
                                              .folder = "",
                                              .stop = {}},
                                             runtime.layer.compute()),
                 .memory = runtime.layer.memory(),
                 .io = runtime.layer.threads().io()});
}

}  // namespace qvl
