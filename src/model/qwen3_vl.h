// The Qwen3-VL network: vision tower and text decoder over the tensors of one checkpoint.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "files/model_files.h"
#include "media/image.h"
#include "model/kv_cache.h"
#include "model/positions.h"
#include "model/text_decoder.h"
#include "model/vision_features.h"
#include "model/vision_tower.h"
#include "ops/ops.h"
#include "ops/weight_packer.h"
#include "optimizer/forms.h"
#include "tensor/tensor.h"

namespace qvl {

/// Immutable after pack(), thread-safe; computation runs on the caller's Ops.
class Qwen3Vl {
 public:
  /// Binds the tensors of `source`, which outlives the network: all missing names (the first 20 and the
  /// count) and wrong shapes are refused with Error{model_file}; tensors nobody needs are in warnings().
  Qwen3Vl(const ModelConfig& config, const TensorSource& source, const ModelForms& forms);

  /// Packs the weights that are not computed as stored; to be called once before anything is computed.
  PackReport pack(ThreadPool& pool, const PackOptions& options) { return packer_.pack(pool, options); }

  /// A hash of all tensors that pack() left as they are: with PackReport::contents the whole checkpoint.
  /// Reads them. Where `stop` ended it, the hash means nothing.
  std::string hash_unpacked(ThreadPool& pool, const std::stop_token& stop) const;

  KvCache make_cache(MemoryHome memory = {}) const { return KvCache(config_.text, forms_.kv, memory); }
  const ModelForms& forms() const { return forms_; }
  std::span<const std::byte> packed() const { return packer_.packed(); }
  /// Throws Error{model_file} where a file behind the weights was changed while it was in use: to be asked
  /// after each step, before its result leaves.
  void check_undamaged() const;
  /// Gives the memory of embedding rows that were looked up back to the system, which brings in their
  /// neighbours with each. To be called now and then.
  void release_rows() const;
  /// Bytes of weights read for one decoding step.
  uint64_t decode_bytes() const { return text_->weight_bytes(); }

  const ModelConfig& config() const { return config_; }
  const std::vector<std::string>& warnings() const { return warnings_; }

  /// Features of one picture or video. `progress` is told the share of blocks done and may stop the work by
  /// returning false: then the result is empty (no rows). Throws Error{media} where the checkpoint has no
  /// vision tower.
  VisionFeatures encode(const PatchedMedia& media, Ops& ops,
                        const std::function<bool(double)>& progress) const;

  /// Computes the chunks of several sequences after those their caches hold, and adds them. `pass.x` then is
  /// the normalised last hidden state of all tokens, in the order of the steps. [tokens, hidden_size]
  void forward(std::span<const SequenceStep> steps, DecoderPass& pass, Ops& ops) const {
    text_->forward(steps, pass, ops);
  }

  /// Logits of hidden states. out: [rows, vocab_size]
  void logits(const float* hidden, int64_t rows, float* out, Ops& ops) const {
    text_->logits(hidden, rows, out, ops);
  }

  /// Null without a vision file.
  const VisionTower* vision() const { return vision_.get(); }
  const TextDecoder& text() const { return *text_; }

 private:
  ModelConfig config_;
  const TensorSource& source_;
  ModelForms forms_;
  WeightPacker packer_;
  std::vector<std::string> warnings_;
  std::unique_ptr<const VisionTower> vision_;
  std::unique_ptr<const TextDecoder> text_;
};

}  // namespace qvl
