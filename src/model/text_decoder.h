// The text decoder: tokens and visual features to hidden states and logits.
#pragma once

#include <span>
#include <vector>

#include "files/model_config.h"
#include "model/kv_cache.h"
#include "model/output_head.h"
#include "model/positions.h"
#include "model/vision_features.h"
#include "model/weight_binder.h"
#include "ops/ops.h"

namespace qvl {

/// Visual tokens in a sequence: `count` tokens from `position` on take the rows of `features` from
/// `first_row` on.
struct VisualSpan {
  int64_t position = 0;
  int64_t count = 0;
  const VisionFeatures* features = nullptr;
  int64_t first_row = 0;
};

/// Consecutive tokens of one sequence, to be computed in one pass.
struct Chunk {
  std::span<const int32_t> ids;
  std::span<const Position> positions;  ///< as many as ids
  std::span<const VisualSpan> visual;   ///< of the whole sequence; the pass takes its part
};

/// Immutable, thread-safe; computation runs on the caller's Ops.
class TextDecoder {
 public:
  TextDecoder(const TextConfig& config, WeightBinder& binder);

  /// Embeddings, with the rows of visual tokens in place of their placeholders. `first` is the position of
  /// the chunk in its sequence. [tokens, hidden]. Throws Error{usage} for an id beyond the vocabulary.
  Tensor embed(const Chunk& chunk, int64_t first) const;
  /// One decoder layer with its DeepStack addition; writes keys and values after those the cache holds.
  struct LayerRun {
    const Chunk& chunk;
    const RotaryTable& rotary;
    KvCache& cache;
  };
  void layer(int64_t index, const LayerRun& run, Tensor& x, Ops& ops) const;
  /// All layers and the final norm; the cache then holds the chunk. [tokens, hidden]
  Tensor forward(const Chunk& chunk, KvCache& cache, Ops& ops) const;
  /// out: [rows, vocab_size]
  void logits(const float* hidden, int64_t rows, float* out, Ops& ops) const {
    head_.logits(hidden, rows, out, ops);
  }

 private:
  struct Layer {
    Norm input_norm, post_attention_norm, q_norm, k_norm;
    Linear qkv, o, gate_up, down;
  };

  Layer bind_layer(int64_t index, WeightBinder& binder) const;
  void attention(const Layer& layer, int64_t index, const LayerRun& run, Tensor& x, Ops& ops) const;
  /// Attention of rotated queries over the cache, the chunk's own keys and values added to it.
  /// qkv: [tokens, query_width + 2 kv_width]; out: [tokens, query_width]
  void attend(int64_t index, const LayerRun& run, float* qkv, float* out, Ops& ops) const;
  void normalise_heads(const Layer& layer, const LayerRun& run, float* qkv, Ops& ops) const;
  void mlp(const Layer& layer, Tensor& x, Ops& ops) const;

  TextConfig config_;
  TensorView embedding_;  // [vocab_size, hidden]
  OutputHead head_;       // over the embedding when tied
  Norm norm_;
  std::vector<Layer> layers_;
};

}  // namespace qvl
