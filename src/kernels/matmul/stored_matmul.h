// Products in float32 over weights as they are stored: the loops around a panel.
#pragma once

#include <limits>

#include "kernels/matmul/packed_weight.h"

namespace qvl {

constexpr int64_t kStoredPanel = 16;  ///< outputs computed together, side by side

/// sums[r][j] = sum over k of x[r][k] * panel[k][j], in the order of k.
struct PanelArgs {
  const float* x;  // [rows, inputs]
  int64_t rows;    // 1 to kPanelRows
  int64_t inputs;
  const float* panel;  // [inputs, kStoredPanel]
  float* sums;         // [rows, kStoredPanel]
};
constexpr int64_t kPanelRows = 6;
using PanelKernel = void (*)(const PanelArgs&);

/// The reference: products and sums rounded one by one.
void panel_scalar(const PanelArgs& args);
/// Fused multiply-adds.
void panel_avx2(const PanelArgs& args);

/// Decodes 16 rows of the weight to float32 at a time and multiplies all rows of x with them.
void run_stored(const MatmulArgs& args, PanelKernel panel);
int64_t stored_scratch_floats(const PackedWeight& weight, int64_t rows);

template <PanelKernel panel>
constexpr MatmulKernel stored_kernel(std::string_view name, Isa isa) {
  return {.name = name,
          .form = WeightForm::stored,
          .isa = isa,
          .output_block = kStoredPanel,
          .row_block = std::numeric_limits<int64_t>::max(),  // each share decodes its weights
          .scratch_floats = stored_scratch_floats,
          .run = [](const MatmulArgs& args) { run_stored(args, panel); }};
}

}  // namespace qvl
