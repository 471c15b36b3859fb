// From hidden states to logits.
#pragma once

#include "model/weight_binder.h"
#include "ops/ops.h"

namespace qvl {

/// The output head. With 4-bit weights all logits are computed from those, and the largest few again from the
/// weights as stored, so that the best token is the stored weights' own; the file's pages of other rows are
/// never read. Immutable, thread-safe.
class OutputHead {
 public:
  /// `name`: "lm_head" or, where the head is tied, the embedding.
  OutputHead(const std::string& name, uint64_t vocabulary, uint64_t hidden, WeightBinder& binder);

  /// hidden: [rows, hidden]; out: [rows, vocabulary]
  void logits(const float* hidden, int64_t rows, float* out, Ops& ops) const;
  uint64_t bytes() const { return weights_.bytes(); }
  /// Empty where no row of it is ever read.
  const TensorView& stored() const { return stored_; }

 private:
  void refine(const float* hidden, std::span<float> logits) const;

  const TensorSource& source_;
  Linear weights_;
  TensorView stored_;  // empty where the weights are computed as stored or in 8 bits
};

}  // namespace qvl
