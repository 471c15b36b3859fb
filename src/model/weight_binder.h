// Binding the tensors of a checkpoint to the network, and telling all that is wrong with them at once.
#pragma once

#include <set>
#include <span>
#include <string>
#include <vector>

#include "files/model_files.h"
#include "kernels/matmul/packed_weight.h"
#include "model/norm.h"
#include "ops/weight_packer.h"
#include "optimizer/forms.h"

namespace qvl {

/// A linear layer, or several with the same input whose outputs stand side by side; the bias may be empty.
struct Linear {
  std::vector<PackedWeight> parts;  // [outputs of the part, inputs]; one where they could be packed together
  std::vector<float> bias;          // [all outputs]

  /// What inputs are made for; all parts agree.
  const PackedWeight& reader() const { return parts.front(); }
  uint64_t bytes() const;
};

/// "NAME.weight" of the shape [outputs, inputs of the layer].
struct LinearPart {
  std::string name;
  uint64_t outputs;
};

/// Looks up tensors by name and shape. Problems are collected; finish() throws them. Until then a problem
/// yields an empty result that is not to be used. Thread-compatible.
class WeightBinder {
 public:
  /// Weights that do not stay as stored go to `packer`, which is to pack() before they are used.
  WeightBinder(const TensorSource& source, const ModelForms& forms, WeightPacker& packer)
      : source_(source), forms_(forms), packer_(packer) {}

  /// "NAME.weight" of the shape [outputs, inputs].
  Linear linear(const std::string& name, uint64_t outputs, uint64_t inputs);
  /// Several with one input, their outputs one after another. Weights of outlying inputs are kept more finely
  /// where they are packed.
  Linear joined(const std::vector<LinearPart>& parts, uint64_t inputs, KnownInputs known = {});
  /// The same with "NAME.bias".
  Linear linear_with_bias(const std::string& name, uint64_t outputs, uint64_t inputs, KnownInputs known = {});
  Norm rms_norm(const std::string& name, uint64_t width);
  Norm layer_norm(const std::string& name, uint64_t width);
  /// All values in float32.
  std::vector<float> values(const std::string& name, const Shape& shape);
  /// The stored tensor, or null with the problem noted.
  const TensorView* view(const std::string& name, const Shape& shape);
  /// A weight of any shape with at least two dimensions as it is stored, the inner ones as inputs.
  PackedWeight stored(const TensorView& view) const { return stored_weight(view, forms_.isa); }
  /// What is known of the outputs of the linear layer `name` with this bias. input_sizes: [inputs]
  KnownInputs outputs_of(const std::string& name, std::vector<float> input_sizes,
                         const std::vector<float>& bias) const;
  /// Outlives what is bound to it.
  const TensorSource& source() const { return source_; }
  bool has(const std::string& name) const { return source_.find(name) != nullptr; }

  /// Throws Error{model_file} where tensors are missing (the first 20 and their count) or of another shape.
  void finish() const;
  /// Names in the source that nobody asked for.
  std::vector<std::string> unused() const;

 private:
  bool wants_fine_inputs(const std::string& name, DType stored) const;
  WeightChoice choice_for(const std::string& name, DType stored) const;

  const TensorSource& source_;
  ModelForms forms_;
  WeightPacker& packer_;
  std::set<std::string> used_;
  std::vector<std::string> missing_, wrong_;
};

/// Decodes rows of a stored tensor to float32.
void decode_values(const TensorView& view, std::span<float> out);

}  // namespace qvl
