// The reference panel product.
#include <cstring>

#include "kernels/matmul/stored_matmul.h"

namespace qvl {
namespace {

// Four neighbouring outputs. A vector type, not an array: of arrays the compiler keeps the sums in memory,
// which takes five times as long.
using Quad [[gnu::vector_size(16)]] = float;
constexpr int64_t quads = kStoredPanel / 4;

Quad load_quad(const float* values) {
  Quad quad;
  std::memcpy(&quad, values, sizeof quad);
  return quad;
}

template <int rows>
void multiply(const PanelArgs& args, const float* x, float* sums) {
  Quad sum[rows][quads] = {};
  for (int64_t k = 0; k < args.inputs; ++k) {
    for (int r = 0; r < rows; ++r) {
      const float value = x[r * args.inputs + k];
      for (int64_t q = 0; q < quads; ++q)
        sum[r][q] += value * load_quad(args.panel + k * kStoredPanel + 4 * q);
    }
  }
  std::memcpy(sums, sum, sizeof sum);
}

}  // namespace

void panel_scalar(const PanelArgs& args) {
  for (int64_t r = 0; r < args.rows; r += 2) {
    const float* x = args.x + r * args.inputs;
    float* sums = args.sums + r * kStoredPanel;
    args.rows - r >= 2 ? multiply<2>(args, x, sums) : multiply<1>(args, x, sums);
  }
}

}  // namespace qvl
