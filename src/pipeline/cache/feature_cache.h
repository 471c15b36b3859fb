// Features of pictures and videos that were looked at before, in memory and on disk.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "files/model_config.h"
#include "media/image.h"
#include "model/vision_features.h"
#include "pipeline/cache/disk_cache.h"
#include "pipeline/cache/memory_cache.h"
#include "qvl/qvl.h"

namespace qvl {

/// What the vision tower made of one medium. Immutable once it is shared.
struct MediumFeatures {
  PatchGrid grid = {};  ///< as it was cut: a picture's header does not tell how it is turned
  VisionFeatures features = {};
  uint64_t bytes() const;  ///< that it takes of its pool
};
using SharedFeatures = std::shared_ptr<const MediumFeatures>;

/// Hits and misses since it was made. A miss is a medium that was computed.
struct FeatureCacheStats {
  uint64_t memory_hits = 0, disk_hits = 0, misses = 0, bytes = 0;
};

/// Thread-safe.
class FeatureCache {
 public:
  /// Keeps at most `budget_bytes` in memory; 0: nothing, on disk neither. `disk` outlives it.
  FeatureCache(const VisionConfig& config, uint64_t budget_bytes, MemoryHome home, DiskCache& disk);

  bool enabled() const { return memory_.budget_bytes() > 0; }

  struct Found {
    SharedFeatures features = nullptr;  ///< null: they are not kept
    FeatureOrigin origin = FeatureOrigin::computed;
  };
  /// Of a medium of `tokens` in all. Looks on the disk where memory has nothing, and reads it into memory
  /// where that has room to spare.
  Found find(const ContentKey& key, int64_t tokens);
  /// In memory alone, which takes no time.
  SharedFeatures find_in_memory(const ContentKey& key);
  /// Whether it would; counts as no use of them.
  bool has_in_memory(const ContentKey& key) const { return memory_.has(key); }
  /// They were computed. Kept in memory, and written to the disk by others.
  void keep(const ContentKey& key, const SharedFeatures& features);

  /// As a reclaimer.
  uint64_t reclaim(uint64_t wanted) noexcept { return memory_.reclaim(wanted); }
  uint64_t idle_bytes() const { return memory_.idle_bytes(); }
  FeatureCacheStats stats() const;

 private:
  VisionConfig config_;
  MemoryHome home_;
  DiskCache& disk_;
  MemoryCache<const MediumFeatures> memory_;
  std::atomic<uint64_t> memory_hits_{0}, disk_hits_{0}, misses_{0};
};

}  // namespace qvl
