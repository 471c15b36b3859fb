// The last step of every product: bias, activation, and where the result goes.
#pragma once

#include "kernels/matmul/packed_weight.h"

namespace qvl {

/// Writes sums[0, count) of row `row`, outputs from `first` on, as the epilogue of `args` says. Changes sums.
void finish_outputs(const MatmulArgs& args, int64_t row, int64_t first, int64_t count, float* sums);

}  // namespace qvl
