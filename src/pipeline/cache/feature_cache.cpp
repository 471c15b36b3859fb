#include "pipeline/cache/feature_cache.h"

#include <utility>
#include <vector>

namespace qvl {
namespace {

constexpr std::string_view kKind = "features";

uint64_t taken(const Tensor& tensor) { return MemoryHome::taken_bytes(tensor.values().size_bytes()); }

}  // namespace

uint64_t MediumFeatures::bytes() const {
  uint64_t bytes = taken(features.merged);
  for (const Tensor& level : features.deepstack) bytes += taken(level);
  return bytes;
}

FeatureCache::FeatureCache(const VisionConfig& config, uint64_t budget_bytes, MemoryHome home,
                           DiskCache& disk)
    : config_(config), home_(home), disk_(disk), memory_(budget_bytes) {}

SharedFeatures FeatureCache::find_in_memory(const ContentKey& key) {
  SharedFeatures found = memory_.find(key);
  if (found) ++memory_hits_;
  return found;
}

FeatureCache::Found FeatureCache::find(const ContentKey& key, int64_t tokens) {
  if (!enabled()) return {};
  if (SharedFeatures found = find_in_memory(key)) return {std::move(found), FeatureOrigin::memory};
  const StoredShape shape{.rows = static_cast<uint64_t>(tokens),
                          .columns = static_cast<uint64_t>(config_.out_hidden_size)};
  const std::vector<StoredShape> shapes(1 + config_.deepstack_visual_indexes.size(), shape);
  auto entry = disk_.read({.key = key, .kind = kKind}, shapes, home_);
  if (!entry) return {};
  const auto [t, h, w] = entry->numbers;
  const int64_t merge = config_.spatial_merge_size;
  const bool fits = t > 0 && h > 0 && w > 0 && h % merge == 0 && w % merge == 0 && t <= tokens &&
                    h <= tokens * merge && w <= tokens * merge && t * (h / merge) * (w / merge) == tokens;
  if (!fits) return {};
  auto read = std::make_shared<MediumFeatures>();
  read->grid = {.t = t, .h = h, .w = w};
  read->features.merged = std::move(entry->tensors.front());
  for (size_t i = 1; i < entry->tensors.size(); ++i) {
    read->features.deepstack.push_back(std::move(entry->tensors[i]));
  }
  ++disk_hits_;
  memory_.put(key, read, read->bytes());
  return {std::move(read), FeatureOrigin::disk};
}

void FeatureCache::keep(const ContentKey& key, const SharedFeatures& features) {
  ++misses_;
  if (!enabled()) return;
  memory_.put(key, features, features->bytes());
  const PatchGrid& grid = features->grid;
  StoredView view{.numbers = {grid.t, grid.h, grid.w}, .tensors = {features->features.merged.values()}};
  for (const Tensor& level : features->features.deepstack) view.tensors.push_back(level.values());
  disk_.write({.key = key, .kind = kKind}, std::move(view), features);
}

FeatureCacheStats FeatureCache::stats() const {
  return {.memory_hits = memory_hits_, .disk_hits = disk_hits_, .misses = misses_, .bytes = memory_.bytes()};
}

}  // namespace qvl
