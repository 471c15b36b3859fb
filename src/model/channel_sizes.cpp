#include "model/channel_sizes.h"

#include <algorithm>
#include <cmath>

#include "ops/outlying.h"

namespace qvl {
namespace {

constexpr size_t kSampledRows = 256;

}  // namespace

KnownStream::KnownStream(std::span<const float> embeddings, size_t width) : mean_(width), variance_(width) {
  const size_t rows = width == 0 ? 0 : embeddings.size() / width;
  if (rows == 0) return;
  const size_t step = std::max<size_t>(rows / kSampledRows, 1), sampled = (rows + step - 1) / step;
  std::vector<double> squares(width);
  for (size_t row = 0; row < rows; row += step) {
    for (size_t i = 0; i < width; ++i) {
      const double value = embeddings[row * width + i];
      mean_[i] += value / static_cast<double>(sampled);
      squares[i] += value * value / static_cast<double>(sampled);
    }
  }
  for (size_t i = 0; i < width; ++i) variance_[i] = std::max(squares[i] - mean_[i] * mean_[i], 0.0);
}

void KnownStream::add(std::span<const float> bias) {
  if (bias.size() != mean_.size()) return;
  for (size_t i = 0; i < bias.size(); ++i) mean_[i] += bias[i];
}

std::vector<float> KnownStream::sizes() const {
  std::vector<float> sizes(mean_.size());
  for (size_t i = 0; i < sizes.size(); ++i) {
    sizes[i] = static_cast<float>(std::sqrt(mean_[i] * mean_[i] + variance_[i]));
  }
  const float typical = typical_size(sizes);
  for (float& size : sizes) size = typical > 0 ? size / typical : 1;
  return sizes;
}

std::vector<float> normed_sizes(const Norm& norm, std::span<const float> stream, size_t inputs) {
  const size_t width = norm.weight.size();
  if (stream.empty() || width == 0 || norm.bias.size() != width) return {};
  if (width % stream.size() != 0 || inputs % width != 0) return {};
  std::vector<float> sizes(inputs);
  for (size_t i = 0; i < inputs; ++i) {
    const size_t channel = i % width;
    sizes[i] = std::hypot(norm.weight[channel] * stream[channel % stream.size()], norm.bias[channel]);
  }
  return sizes;
}

}  // namespace qvl
