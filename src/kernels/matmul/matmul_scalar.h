// The reference matrix product: plain C++, any stored type, the truth faster kernels are tested against.
#pragma once

#include "kernels/matmul/packed_weight.h"

namespace qvl {

/// Decodes 16 rows of the weight to float32 at a time and sums each output over the inputs in order, so that
/// a result depends on its own row and output alone.
const MatmulKernel& scalar_matmul();

}  // namespace qvl
