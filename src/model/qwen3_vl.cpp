#include "model/qwen3_vl.h"

#include "base/error.h"
#include "kernels/matmul/blocks.h"
#include "ops/pack_cache.h"

namespace qvl {

namespace {

// More than all weights take when packed: panels and groups are rounded up, each weight is at most two bytes.
uint64_t packed_addresses(const TensorSource& source) {
  uint64_t bytes = 0;
  for (const std::string& name : source.names()) {
    const TensorView* view = source.find(name);
    if (view == nullptr || view->shape.size() < 2) continue;
    const uint64_t rows = view->shape[0] + uint64_t{kPanel};
    const uint64_t inputs = view->elements() / view->shape[0] + 2 * uint64_t{kGroup};
    bytes += 2 * rows * inputs + 64;
  }
  return bytes;
}

// Blocks of keys hold heads of an even width up to their bound; other models keep float32.
KvForm kv_form(const TextConfig& config, KvForm wanted) {
  return fits_blocks(config.head_dim) ? wanted : KvForm::f32;
}

}  // namespace

Qwen3Vl::Qwen3Vl(const ModelConfig& config, const TensorSource& source, const ModelForms& forms)
    : config_(config), source_(source), forms_(forms), packer_(forms.isa, packed_addresses(source)) {
  forms_.kv = kv_form(config.text, forms.kv);
  WeightBinder binder(source, forms_, packer_);
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

std::string Qwen3Vl::hash_unpacked(ThreadPool& pool, const std::stop_token& stop) const {
  ContentHash hash;
  for (const std::string& name : source_.names()) {
    const TensorView* tensor = source_.find(name);
    if (tensor == nullptr || packer_.packs(tensor->bytes)) continue;
    const std::string described =
        fmt::format("{} {} {}", name, info(tensor->dtype).name, to_string(tensor->shape));
    hash.add(std::as_bytes(std::span(described)), pool, stop);
    hash.add(tensor->bytes, pool, stop);
    source_.release(tensor->bytes);
  }
  return hash.text();
}

void Qwen3Vl::release_rows() const {
  source_.release(text_->embedding().bytes);
  source_.release(text_->stored_head().bytes);
}

void Qwen3Vl::check_undamaged() const {
  source_.check_undamaged();
  packer_.check_undamaged();
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
