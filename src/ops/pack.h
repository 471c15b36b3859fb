// Choosing the kernel of a weight and bringing the weight into the order that kernel reads.
#pragma once

#include "kernels/matmul/packed_weight.h"
#include "tensor/tensor.h"

namespace qvl {

/// The weight [outputs, inputs] in `view` (more inner dimensions count as inputs), as its kernel reads it.
/// The scalar kernel reads stored bytes as they are, so that a mapped file is never copied.
PackedWeight pack(const TensorView& view);

}  // namespace qvl
