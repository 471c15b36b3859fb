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

/// A chunk and the cache of its sequence.
struct SequenceStep {
  Chunk chunk;
  KvCache* cache;
};

/// The values of one pass over the layers, kept so that passes of the same size allocate nothing. Plain data.
struct DecoderPass {
  Tensor x;            // [tokens of all steps, hidden]
  RotaryTable rotary;  // [tokens of all steps, head_dim / 2]

  explicit DecoderPass(MemoryHome memory = {}) : x(memory), rotary{Tensor(memory), Tensor(memory)} {}
  /// Gives the memory back, between two requests.
  void clear() {
    for (Tensor* values : {&x, &rotary.cos, &rotary.sin}) values->clear();
  }
};

/// Immutable, thread-safe; computation runs on the caller's Ops.
class TextDecoder {
 public:
  TextDecoder(const TextConfig& config, WeightBinder& binder);

  /// Embeddings, with the rows of visual tokens in place of their placeholders. `first` is the position of
  /// the chunk in its sequence. [tokens, hidden]. Throws Error{usage} for an id beyond the vocabulary.
  void embed(const Chunk& chunk, int64_t first, float* x) const;
  /// Embeddings and rotation of all steps, room in their caches.
  void begin(std::span<const SequenceStep> steps, DecoderPass& pass) const;
  /// One decoder layer with its DeepStack addition; writes keys and values after those the caches hold.
  void layer(int64_t index, std::span<const SequenceStep> steps, DecoderPass& pass, Ops& ops) const;
  /// All layers and the final norm of several sequences together; their caches then hold the chunks.
  /// `pass.x` is the result, the tokens of the steps one after another. A step's result does not depend on
  /// the steps beside it.
  void forward(std::span<const SequenceStep> steps, DecoderPass& pass, Ops& ops) const;
  /// The stored tensors of which single rows are read.
  const TensorView& embedding() const { return embedding_; }
  const TensorView& stored_head() const { return head_.stored(); }
  /// Bytes of all weights a step reads: layers and head.
  uint64_t weight_bytes() const;
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
  void attention(int64_t index, std::span<const SequenceStep> steps, DecoderPass& pass, Ops& ops) const;
  /// Attention of rotated queries over the cache, the chunk's own keys and values added to it.
  /// qkv: [tokens, query_width + 2 kv_width]; out: [tokens, query_width]
  void attend(int64_t index, const SequenceStep& step, float* qkv, float* out, Ops& ops) const;
  void normalise_heads(const Layer& layer, const RotaryTable& rotary, float* qkv, Ops& ops) const;
  void mlp(const Layer& layer, Tensor& x, Ops& ops) const;

  TextConfig config_;
  const TensorSource& source_;
  TensorView embedding_;  // [vocab_size, hidden]
  OutputHead head_;       // over the embedding when tied
  Norm norm_;
  std::vector<Layer> layers_;
};

}  // namespace qvl
