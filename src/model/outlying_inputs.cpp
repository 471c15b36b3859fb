#include "model/outlying_inputs.h"

#include <algorithm>
#include <cmath>

namespace qvl {
namespace {

constexpr size_t kSampledRows = 256;

float median(std::vector<float> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

bool all_finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

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
  const float typical = sizes.empty() || !all_finite(sizes) ? 0 : median(sizes);
  for (float& size : sizes) size = typical > 0 ? size / typical : 1;
  return sizes;
}

std::vector<float> normed_sizes(const Norm& norm, std::span<const float> stream) {
  const size_t width = norm.weight.size();
  if (stream.empty() || width % stream.size() != 0 || norm.bias.size() != width) return {};
  std::vector<float> sizes(width);
  for (size_t i = 0; i < width; ++i) {
    sizes[i] = std::hypot(norm.weight[i] * stream[i % stream.size()], norm.bias[i]);
  }
  return sizes;
}

}  // namespace qvl
