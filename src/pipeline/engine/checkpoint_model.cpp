#include "pipeline/engine/checkpoint_model.h"

#include <algorithm>
#include <utility>

#include "pipeline/cache/model_caches.h"
#include "pipeline/engine/engine_request.h"
#include "pipeline/engine/engine_step.h"
#include "pipeline/engine/plan_request.h"
#include "pipeline/runtime.h"

namespace qvl {
namespace {

CacheMetrics cache_metrics(const ModelCaches& caches) {
  const FeatureCacheStats features = caches.features.stats();
  const PrefixCacheStats prefixes = caches.prefixes.stats();
  const DiskCacheStats disk = caches.disk.stats();
  return {.feature_memory_hits = features.memory_hits,
          .feature_disk_hits = features.disk_hits,
          .feature_misses = features.misses,
          .feature_bytes = features.bytes,
          .prefix_reused_tokens = prefixes.reused_tokens,
          .prefix_disk_tokens = prefixes.disk_tokens,
          .prefix_bytes = prefixes.bytes,
          .disk_lookups = disk.lookups,
          .disk_hits = disk.hits};
}

class CheckpointModel final : public EngineModel {
 public:
  explicit CheckpointModel(Model model) : model_(std::move(model)) {}

  SystemLayer& layer() override { return model_.runtime().layer; }
  ComputeQueue& computing() override { return model_.runtime().computing; }
  CacheMetrics caches() const override { return cache_metrics(*model_.runtime().caches); }
  uint64_t cached_bytes() const override { return model_.runtime().caches->bytes(); }
  uint64_t idle_cached_bytes() const override { return model_.runtime().caches->idle_bytes(); }
  std::unique_ptr<ScheduledRequest> request(InferenceRequest request,
                                            std::shared_ptr<detail::InferenceChannel> channel) override {
    return std::make_unique<EngineRequest>(std::move(request), std::move(channel), model_.runtime(), tasks_);
  }
  std::unique_ptr<StepRunner> steps(StepRunner::Find find, StepRunner::Between between) override {
    return std::make_unique<EngineStep>(model_.runtime(), std::move(find), std::move(between));
  }
  OrderedJson followed_json() const override { return model_.runtime().followed_json(); }
  uint32_t most_vision_steps() const override {
    return static_cast<uint32_t>(std::max<int64_t>(model_.runtime().files.config.vision.depth, 1));
  }
  RequestPlan plan(const InferenceRequest& request, const EngineOutlook& outlook) override {
    return plan_request(request, model_.runtime(), outlook);
  }
  void after_request() noexcept override { model_.runtime().after_request(); }
  int64_t logits(const LogitsRequest& request, const LogitsSink& sink, const Listeners& listeners) override {
    return model_.logits(request, sink, listeners);
  }

 private:
  Model model_;
  VisionTasks tasks_;  // of the engine's thread; outlives the requests
};

}  // namespace

std::unique_ptr<EngineModel> engine_model(Model model, const SystemOptimizationConfig& config) {
  model.runtime().configure(config);
  return std::make_unique<CheckpointModel>(std::move(model));
}

}  // namespace qvl
