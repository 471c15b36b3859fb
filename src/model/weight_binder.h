// Binding the tensors of a checkpoint to the network, and telling all that is wrong with them at once.
#pragma once

#include <set>
#include <span>
#include <string>
#include <vector>

#include "files/model_files.h"
#include "kernels/matmul/packed_weight.h"

namespace qvl {

/// A linear layer; the bias may be empty.
struct Linear {
  PackedWeight weight;      // [outputs, inputs]
  std::vector<float> bias;  // [outputs]
};

/// A normalisation; the bias is empty for RMS norms.
struct Norm {
  std::vector<float> weight, bias;
};

/// Looks up tensors by name and shape. Problems are collected; finish() throws them. Until then a problem
/// yields an empty result that is not to be used. Thread-compatible.
class WeightBinder {
 public:
  explicit WeightBinder(const TensorSource& source) : source_(source) {}

  /// "NAME.weight" of the shape [outputs, inputs].
  Linear linear(const std::string& name, uint64_t outputs, uint64_t inputs);
  /// The same with "NAME.bias".
  Linear linear_with_bias(const std::string& name, uint64_t outputs, uint64_t inputs);
  Norm rms_norm(const std::string& name, uint64_t width);
  Norm layer_norm(const std::string& name, uint64_t width);
  /// All values in float32.
  std::vector<float> values(const std::string& name, const Shape& shape);
  /// The stored tensor, or null with the problem noted.
  const TensorView* view(const std::string& name, const Shape& shape);
  bool has(const std::string& name) const { return source_.find(name) != nullptr; }

  /// Throws Error{model_file} where tensors are missing (the first 20 and their count) or of another shape.
  void finish() const;
  /// Names in the source that nobody asked for.
  std::vector<std::string> unused() const;

 private:
  const TensorSource& source_;
  std::set<std::string> used_;
  std::vector<std::string> missing_, wrong_;
};

/// Decodes rows of a stored tensor to float32.
void decode_values(const TensorView& view, std::span<float> out);

}  // namespace qvl
