// The reference product with stored weights.
#include <algorithm>
#include <cstring>

#include "kernels/matmul/epilogue.h"
#include "kernels/matmul/stored_matmul.h"

namespace qvl {
namespace {

constexpr int64_t kOutputs = kDotOutputs;  // of a panel, side by side
constexpr int64_t kRows = 6;               // multiplied with a panel before their results are finished

// Four neighbouring outputs. A vector type, not an array: of arrays the compiler keeps the sums in memory,
// which takes five times as long.
using Quad [[gnu::vector_size(16)]] = float;
constexpr int64_t kQuads = kOutputs / 4;

Quad load_quad(const float* values) {
  Quad quad;
  std::memcpy(&quad, values, sizeof quad);
  return quad;
}

// sums[r][j] = sum over k of x[r][k] * panel[k][j], in the order of k.
template <int rows>
void multiply(const float* x, const float* panel, int64_t inputs, float* sums) {
  Quad sum[rows][kQuads] = {};
  for (int64_t k = 0; k < inputs; ++k) {
    for (int r = 0; r < rows; ++r) {
      const float value = x[r * inputs + k];
      for (int64_t q = 0; q < kQuads; ++q) sum[r][q] += value * load_quad(panel + k * kOutputs + 4 * q);
    }
  }
  std::memcpy(sums, sum, sizeof sum);
}

void multiply_rows(const float* x, int64_t rows, const float* panel, int64_t inputs, float* sums) {
  for (int64_t r = 0; r < rows; r += 2) {
    const auto pair = rows - r >= 2 ? multiply<2> : multiply<1>;
    pair(x + r * inputs, panel, inputs, sums + r * kOutputs);
  }
}

// Decodes rows [first, first + count) of the weight into panel[k][output]. Missing outputs of the last panel
// are zero.
void decode_panel(const PackedWeight& weight, int64_t first, int64_t count, float* panel, float* row) {
  DecodeRow decode = decoder(weight.dtype);
  const int64_t inputs = weight.inputs;
  for (int64_t j = 0; j < kOutputs; ++j) {
    if (j < count) {
      decode(weight.data + static_cast<uint64_t>(first + j) * weight.row_bytes, static_cast<size_t>(inputs),
             row);
    } else {
      std::fill_n(row, inputs, 0.0f);
    }
    for (int64_t k = 0; k < inputs; ++k) panel[k * kOutputs + j] = row[k];
  }
}

}  // namespace

int64_t stored_scalar_scratch_floats(const PackedWeight& weight, int64_t) {
  return (kOutputs + 1) * weight.inputs;
}

void run_stored_scalar(const MatmulArgs& args) {
  const PackedWeight& weight = *args.weight;
  float* panel = args.scratch;
  float* row = args.scratch + kOutputs * weight.inputs;
  float sums[kRows][kOutputs];
  for (int64_t first = args.first; first < args.last; first += kOutputs) {
    const int64_t count = std::min(kOutputs, args.last - first);
    decode_panel(weight, first, count, panel, row);
    const int64_t last_row = args.first_row + args.rows;
    for (int64_t r = args.first_row; r < last_row; r += kRows) {
      const int64_t rows = std::min(kRows, last_row - r);
      multiply_rows(args.x + r * weight.inputs, rows, panel, weight.inputs, sums[0]);
      for (int64_t i = 0; i < rows; ++i) finish_outputs(args, r + i, first, count, sums[i]);
    }
  }
}

}  // namespace qvl
