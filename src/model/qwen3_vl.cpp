#include "model/qwen3_vl.h"

#include "base/error.h"

namespace qvl {

Qwen3Vl::Qwen3Vl(const ModelConfig& config, const TensorSource& source) : config_(config) {
  WeightBinder binder(source);
  text_ = std::make_unique<const TextDecoder>(config_.text, binder);
  if (config_.has_vision) vision_ = std::make_unique<const VisionTower>(config_.vision, binder);
  binder.finish();
  const std::vector<std::string> unused = binder.unused();
  if (!unused.empty()) {
    warnings_.push_back(unused.size() == 1 ? fmt::format("tensor {} is not used", unused.front())
                                           : fmt::format("{} tensors are not used, among them {}",
                                                         unused.size(), unused.front()));
  }
}

VisionFeatures Qwen3Vl::encode(const PatchedMedia& media, Ops& ops,
                               const std::function<bool(double)>& progress) const {
  if (vision_ == nullptr) {
    fail(ErrorCode::media, "this checkpoint has no vision tower; give its vision file with --mmproj");
  }
  VisionRun run = vision_->begin(media, ops);
  while (!vision_->done(run)) {
    vision_->step(run, ops);
    const double share = static_cast<double>(run.next_block) / static_cast<double>(config_.vision.depth);
    if (progress && !progress(share)) return {};
  }
  return vision_->finish(std::move(run), ops);
}

}  // namespace qvl
