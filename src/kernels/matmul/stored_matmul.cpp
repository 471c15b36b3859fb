#include "kernels/matmul/stored_matmul.h"

#include <algorithm>

#include "kernels/matmul/epilogue.h"

namespace qvl {
namespace {

// Decodes rows [first, first + count) of the weight into panel[k][output]. Missing outputs of the last panel
// are zero.
void decode_panel(const PackedWeight& weight, int64_t first, int64_t count, float* panel, float* row) {
  DecodeRow decode = decoder(weight.dtype);
  const int64_t inputs = weight.inputs;
  for (int64_t j = 0; j < kStoredPanel; ++j) {
    if (j < count) {
      decode(weight.data + static_cast<uint64_t>(first + j) * weight.row_bytes, static_cast<size_t>(inputs),
             row);
    } else {
      std::fill_n(row, inputs, 0.0f);
    }
    for (int64_t k = 0; k < inputs; ++k) panel[k * kStoredPanel + j] = row[k];
  }
}

}  // namespace

int64_t stored_scratch_floats(const PackedWeight& weight, int64_t) {
  return (kStoredPanel + 1) * weight.inputs;
}

void run_stored(const MatmulArgs& args, PanelKernel multiply) {
  const PackedWeight& weight = *args.weight;
  float* panel = args.scratch;
  float* row = args.scratch + kStoredPanel * weight.inputs;
  float sums[kPanelRows][kStoredPanel];
  for (int64_t first = args.first; first < args.last; first += kStoredPanel) {
    const int64_t count = std::min(kStoredPanel, args.last - first);
    decode_panel(weight, first, count, panel, row);
    const int64_t last_row = args.first_row + args.rows;
    for (int64_t r = args.first_row; r < last_row; r += kPanelRows) {
      const int64_t rows = std::min(kPanelRows, last_row - r);
      multiply({.x = args.x + r * weight.inputs,
                .rows = rows,
                .inputs = weight.inputs,
                .panel = panel,
                .sums = sums[0]});
      for (int64_t i = 0; i < rows; ++i) finish_outputs(args, r + i, first, count, sums[i]);
    }
  }
}

}  // namespace qvl
