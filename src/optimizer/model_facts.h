// What the optimizer knows of a checkpoint: dimensions and stored sizes, read without loading it.
#pragma once

#include <cstdint>
#include <vector>

#include "files/model_files.h"
#include "optimizer/forms.h"
#include "tensor/dtype.h"

namespace qvl {

/// A linear layer, or several with one input that are packed together.
struct LinearFacts {
  struct Part {
    int64_t outputs;
    DType stored;
  };
  WeightPlace place = WeightPlace::text;
  int64_t inputs = 0;
  std::vector<Part> parts = {};
  /// Whether outlying inputs are looked for while packing (KnownInputs::producer), for which there is room.
  bool finds_outlying = false;

  int64_t outputs() const;
};

struct ModelFacts {
  TextConfig text = {};
  VisionConfig vision = {};
  bool has_vision = true;
  int64_t max_picture_pixels = 0;         ///< of one picture as it is encoded
  std::vector<LinearFacts> linears = {};  ///< in the order they are packed; the output head is the first
  uint64_t float_bytes = 0;               ///< norms, biases and tables that are held decoded
  uint64_t mapped_bytes = 0;              ///< the patch embedding, and rows of embedding and head as mapped
  uint64_t file_bytes = 0;                ///< of all tensors

  int64_t weights(WeightPlace place) const;  ///< of the linear layers
};

/// Throws Error{model_file} where a tensor of the network is missing.
ModelFacts model_facts(const ModelFiles& files);

/// Bytes of all weights packed for `forms`, each on its 64-byte border.
uint64_t packed_bytes(const ModelFacts& model, const ModelForms& forms);
/// Rows of the token embedding that are read before their pages are released.
inline constexpr int64_t kMostMappedRows = 32;
/// Rows of logits for which rows of the output head are read before the pages of these are released, and how
/// many for each.
inline constexpr int64_t kMostRefinedTokens = 4, kRefinedLogits = 32;

/// Bytes of the weights that are computed as they are stored, and of rows that are read from the file.
uint64_t stored_in_use_bytes(const ModelFacts& model, const ModelForms& forms);
/// Bytes that are read for one decoded token: all text layers and the head.
uint64_t decode_bytes(const ModelFacts& model, const ModelForms& forms);
/// Whether any weight of `place` becomes 8- or 4-bit integers.
bool is_quantised(const ModelFacts& model, const ModelForms& forms, WeightPlace place);

}  // namespace qvl
