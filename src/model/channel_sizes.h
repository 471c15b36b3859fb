// How large channels are, as far as weights tell before there is a picture.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/norm.h"

namespace qvl {

/// How large the channels of a residual stream are by what is always added to it: embeddings of positions and
/// biases. Thread-compatible.
class KnownStream {
 public:
  /// embeddings: [rows, width]; fewer than width values, as of a missing tensor, tell nothing.
  KnownStream(std::span<const float> embeddings, size_t width);
  /// A bias that a layer adds. Of another width: ignored.
  void add(std::span<const float> bias);
  /// The root of the mean square of each channel over the median channel's, or all 1 where that is 0 or not
  /// finite. [width]
  std::vector<float> sizes() const;

 private:
  std::vector<double> mean_, variance_;
};

/// How large `inputs` channels are expected to come out of `norm`: sqrt((weight * stream size)^2 + bias^2).
/// Where channels of several patches stand side by side, before the norm or behind it, each patch has them
/// once more. Empty where widths do not fit. stream: [width]
std::vector<float> normed_sizes(const Norm& norm, std::span<const float> stream, size_t inputs);

}  // namespace qvl
