#include "ops/input_scales.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace qvl {
namespace {

constexpr int64_t kSampledRows = 1024;
constexpr int64_t kShareRows = 64;  // summed by one thread, in order: sums do not depend on the thread count
constexpr int kLargestExponent = 14;

// Sums of squares of each column over a sample of rows.
std::vector<double> column_squares(ThreadPool& pool, int64_t outputs, int64_t inputs,
                                   DecodeRowOf decode_row) {
  const int64_t rows = std::min(outputs, kSampledRows);
  const int64_t shares = (rows + kShareRows - 1) / kShareRows;
  const auto width = static_cast<size_t>(inputs);
  std::vector<double> parts(static_cast<size_t>(shares) * width);
  std::vector<float> scratch(static_cast<size_t>(pool.size()) * width);  // loops must not throw
  pool.parallel_for(static_cast<size_t>(shares), 1, [&](size_t share, size_t, int worker) {
    float* const row = scratch.data() + static_cast<size_t>(worker) * width;
    double* sums = parts.data() + share * width;
    const auto first = static_cast<int64_t>(share) * kShareRows;
    for (int64_t r = first; r < std::min(first + kShareRows, rows); ++r) {
      decode_row(r * outputs / rows, row);
      for (size_t i = 0; i < width; ++i) sums[i] += static_cast<double>(row[i]) * row[i];
    }
  });
  for (size_t share = 1; share < static_cast<size_t>(shares); ++share) {
    for (size_t i = 0; i < width; ++i) parts[i] += parts[share * width + i];
  }
  parts.resize(width);
  return parts;
}

bool usable(double squares) { return squares > 0 && std::isfinite(squares); }

}  // namespace

void write_input_scales(ThreadPool& pool, int64_t outputs, int64_t inputs, DecodeRowOf decode_row,
                        float* scales) {
  std::fill_n(scales, inputs, 1.0f);
  if (outputs < kLeastOutputsToScale) return;
  const std::vector<double> squares = column_squares(pool, outputs, inputs, decode_row);
  double exponents = 0;
  int64_t columns = 0;
  for (double value : squares) {
    if (!usable(value)) continue;
    exponents += std::log2(value) / 2;
    ++columns;
  }
  for (int64_t i = 0; i < inputs; ++i) {
    const double value = squares[static_cast<size_t>(i)];
    if (!usable(value)) continue;
    const double exponent = std::round(std::log2(value) / 2 - exponents / static_cast<double>(columns));
    scales[i] =
        static_cast<float>(std::exp2(std::clamp<double>(exponent, -kLargestExponent, kLargestExponent)));
  }
}

}  // namespace qvl
