#include "ops/outlying.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace qvl {
namespace {

constexpr float kOutlying = 8;
constexpr size_t kShareRows = 64;

}  // namespace

float typical_size(std::span<const float> sizes) {
  const auto finite = [](float size) { return std::isfinite(size); };
  if (sizes.empty() || !std::all_of(sizes.begin(), sizes.end(), finite)) return 0;
  std::vector<float> sorted(sizes.begin(), sizes.end());
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

std::vector<int32_t> outlying(std::span<const float> sizes) {
  const float typical = typical_size(sizes);
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
  QVL_CHECK(layer.input_sizes.size() == inputs);
  QVL_CHECK(layer.bias.size() == outputs);
  std::vector<float> sizes(outputs);
  std::vector<float> scratch(static_cast<size_t>(pool.size()) * inputs);  // loops must not throw
  pool.parallel_for(outputs, kShareRows, [&](size_t begin, size_t end, int worker) {
    float* const row = scratch.data() + static_cast<size_t>(worker) * inputs;
    for (size_t o = begin; o < end; ++o) {
      decode_row(static_cast<int64_t>(o), row);
      double sum = static_cast<double>(layer.bias[o]) * layer.bias[o];
      for (size_t i = 0; i < inputs; ++i) {
        const double value = row[i] * layer.input_sizes[i];
        sum += value * value;
      }
      sizes[o] = static_cast<float>(std::sqrt(sum));
    }
  });
  return sizes;
}

}  // namespace qvl
