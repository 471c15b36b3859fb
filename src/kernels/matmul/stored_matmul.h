// Products in float32 over weights as they are stored.
#pragma once

#include <limits>

#include "kernels/matmul/dot.h"
#include "kernels/matmul/packed_weight.h"

namespace qvl {

/// The reference: decodes 16 rows of the weight at a time and multiplies all rows of x with them, in the
/// order of inputs, products and sums rounded one by one.
void run_stored_scalar(const MatmulArgs& args);
int64_t stored_scalar_scratch_floats(const PackedWeight& weight, int64_t rows);

/// The loops around the products of an instruction set.
void run_stored(const MatmulArgs& args, const DotKernel& dot);
int64_t stored_scratch_floats(const DotKernel& dot, int64_t rows);

constexpr int64_t kAllRows = std::numeric_limits<int64_t>::max();  // each share decodes its weights

constexpr MatmulKernel stored_scalar_kernel() {
  return {.name = "stored/scalar",
          .form = WeightForm::stored,
          .isa = Isa::scalar,
          .output_block = kDotOutputs,
          .row_block = kAllRows,
          .scratch_floats = stored_scalar_scratch_floats,
          .run = run_stored_scalar};
}

template <const DotKernel& dot>
constexpr MatmulKernel stored_kernel(std::string_view name, Isa isa) {
  return {
      .name = name,
      .form = WeightForm::stored,
      .isa = isa,
      .output_block = kDotOutputs,
      .row_block = kAllRows,
      .scratch_floats = [](const PackedWeight&, int64_t rows) { return stored_scratch_floats(dot, rows); },
      .run = [](const MatmulArgs& args) { run_stored(args, dot); }};
}

}  // namespace qvl
