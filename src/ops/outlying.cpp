#include "ops/outlying.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace qvl {
namespace {

constexpr float kOutlying = 8;
constexpr size_t kShareRows = 64;

float median(std::vector<float> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

bool all_finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

}  // namespace

std::vector<int32_t> outlying(std::span<const float> sizes) {
  if (sizes.empty() || !all_finite(sizes)) return {};
  const float typical = median({sizes.begin(), sizes.end()});
  if (typical == 0) return {};
  std::vector<int32_t> places;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] > kOutlying * typical) places.push_back(static_cast<int32_t>(i));
  }
  if (places.size() > kMostRepeated) {
    std::stable_sort(places.begin(), places.end(), [&](int32_t a, int32_t b) {
      return sizes[static_cast<size_t>(a)] > sizes[static_cast<size_t>(b)];
    });
    places.resize(kMostRepeated);
    std::sort(places.begin(), places.end());
  }
  return places;
}

std::vector<float> output_sizes(ThreadPool& pool, const LayerNumbers& layer,
                                FunctionRef<void(int64_t row, float* out)> decode_row) {
  const auto outputs = static_cast<size_t>(layer.outputs), inputs = static_cast<size_t>(layer.inputs);
  QVL_CHECK(layer.input_sizes.empty() || layer.input_sizes.size() == inputs);
  QVL_CHECK(layer.bias.empty() || layer.bias.size() == outputs);
  std::vector<float> sizes(outputs);
  std::vector<float> scratch(static_cast<size_t>(pool.size()) * inputs);  // loops must not throw
  pool.parallel_for(outputs, kShareRows, [&](size_t begin, size_t end, int worker) {
    float* const row = scratch.data() + static_cast<size_t>(worker) * inputs;
    for (size_t o = begin; o < end; ++o) {
      decode_row(static_cast<int64_t>(o), row);
      double sum = layer.bias.empty() ? 0 : static_cast<double>(layer.bias[o]) * layer.bias[o];
      for (size_t i = 0; i < inputs; ++i) {
        const double value = layer.input_sizes.empty() ? row[i] : row[i] * layer.input_sizes[i];
        sum += value * value;
      }
      sizes[o] = static_cast<float>(std::sqrt(sum));
    }
  });
  return sizes;
}

}  // namespace qvl
