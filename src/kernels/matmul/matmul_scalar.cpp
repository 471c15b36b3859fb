// y[r, o] = bias[o] + sum over k of x[r, k] * W[o, k], the sum in float32 in the order of k.
#include "kernels/matmul/matmul_scalar.h"

#include <algorithm>
#include <cstring>

namespace qvl {
namespace {

constexpr int64_t block = 16;  // outputs computed together, side by side in registers

// Decodes rows [first, first + count) of the weight into panel[k][output]. Missing outputs of the last block
// are zero.
void decode_panel(const PackedWeight& weight, int64_t first, int64_t count, float* panel, float* row) {
  DecodeRow decode = decoder(weight.dtype);
  const int64_t inputs = weight.inputs;
  for (int64_t j = 0; j < block; ++j) {
    if (j < count) {
      decode(weight.data + static_cast<uint64_t>(first + j) * weight.row_bytes, static_cast<size_t>(inputs),
             row);
    } else {
      std::fill_n(row, inputs, 0.0f);
    }
    for (int64_t k = 0; k < inputs; ++k) panel[k * block + j] = row[k];
  }
}

// Four neighbouring outputs. A vector type, not an array: of arrays the compiler keeps the sums in memory,
// which takes five times as long.
using Quad [[gnu::vector_size(16)]] = float;
constexpr int64_t quads = block / 4;

Quad load_quad(const float* values) {
  Quad quad;
  std::memcpy(&quad, values, sizeof quad);
  return quad;
}

// `rows` (1 or 2) rows of x against one panel.
template <int rows>
void multiply_panel(const float* x, int64_t inputs, const float* panel, float (&out)[2][block]) {
  Quad sum[rows][quads] = {};
  for (int64_t k = 0; k < inputs; ++k) {
    for (int r = 0; r < rows; ++r) {
      const float value = x[r * inputs + k];
      for (int64_t q = 0; q < quads; ++q) sum[r][q] += value * load_quad(panel + k * block + 4 * q);
    }
  }
  for (int r = 0; r < rows; ++r) std::memcpy(out[r], sum[r], sizeof sum[r]);
}

int64_t scratch_floats(const PackedWeight& weight) { return (block + 1) * weight.inputs; }

void run(const MatmulArgs& args) {
  const PackedWeight& weight = *args.weight;
  const int64_t inputs = weight.inputs;
  float* panel = args.scratch;
  float* row = args.scratch + block * inputs;
  float sum[2][block];
  for (int64_t first = args.first; first < args.last; first += block) {
    const int64_t count = std::min(block, args.last - first);
    decode_panel(weight, first, count, panel, row);
    for (int64_t r = 0; r < args.rows; r += 2) {
      const int64_t rows = std::min<int64_t>(2, args.rows - r);
      const float* x = args.x + r * inputs;
      rows == 2 ? multiply_panel<2>(x, inputs, panel, sum) : multiply_panel<1>(x, inputs, panel, sum);
      for (int64_t i = 0; i < rows; ++i) {
        float* y = args.y + (r + i) * weight.outputs + first;
        for (int64_t j = 0; j < count; ++j) {
          y[j] = args.bias == nullptr ? sum[i][j] : sum[i][j] + args.bias[first + j];
        }
      }
    }
  }
}

}  // namespace

const MatmulKernel& scalar_matmul() {
  static constexpr MatmulKernel kernel = {"scalar", block, scratch_floats, run};
  return kernel;
}

}  // namespace qvl
