// A weight in the order its kernel reads, with the kernel that reads it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tensor/decode.h"
#include "tensor/tensor.h"

namespace qvl {

struct PackedWeight;

/// A share of y = x * W^T: outputs [first, last) of all rows.
struct MatmulArgs {
  const PackedWeight* weight;
  const float* x;  // [rows, inputs]
  int64_t rows;
  int64_t first, last;  // outputs, first a multiple of the kernel's output_block
  const float* bias;    // [outputs] or null
  float* y;             // [rows, outputs]
  float* scratch;       // at least kernel->scratch_floats(weight)
};

/// One way to compute a matrix product. Results do not depend on `rows` nor on how outputs are split.
struct MatmulKernel {
  std::string_view name;  ///< "scalar"
  int64_t output_block;   ///< outputs computed together
  int64_t (*scratch_floats)(const PackedWeight& weight);
  void (*run)(const MatmulArgs& args);
};

/// W: [outputs, inputs], row-major blocks of `dtype`. Borrowed bytes.
struct PackedWeight {
  DType dtype = DType::f32;
  int64_t outputs = 0;
  int64_t inputs = 0;
  const std::byte* data = nullptr;
  uint64_t row_bytes = 0;
  const MatmulKernel* kernel = nullptr;
};

}  // namespace qvl
