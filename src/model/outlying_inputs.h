// Channels that are much larger than the others, as far as weights tell before there is a picture.
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

/// The channels, ascending, that are expected to come out of `norm` more than eight times as large as a
/// typical one (the median): sqrt((weight * stream size)^2 + bias^2). At most 32, the largest. None where a
/// number is not finite, or where more than half of them are 0. stream: [width]
///
/// A sum over such inputs hangs on few weights, whose rounding nothing averages out.
std::vector<int32_t> outlying_inputs(const Norm& norm, std::span<const float> stream);

}  // namespace qvl
