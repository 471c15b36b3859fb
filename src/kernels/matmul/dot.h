// Products in float32 with weights as they are stored: what an instruction set supplies.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace qvl {

constexpr int64_t kDotOutputs = 16;  ///< outputs whose sums lie side by side

/// Adds the products of a stretch of inputs to the running sums of some rows and outputs.
///
/// A sum runs in `lanes` parts: part l takes the inputs l, l + lanes, l + 2 lanes and so on, one fused
/// multiply-add after the other, and the parts are added in a fixed tree at the end. This order suits one row
/// of x, for which weights are read as they lie in memory, and many rows, where a tile of rows and outputs
/// uses each register several times; in the order of inputs alone, weights would have to be transposed first.
/// As there is one order, a result does not depend on the rows beside it nor on where stretches end.
struct DotArgs {
  enum class Source {
    memory,  ///< rows of a weight as they lie in the file: the loop over outputs is the outer one
    panel,   ///< decoded to f32, in the first cache: the loop over rows is the outer one
  };
  const float* x;    // [rows, inputs], rows x_stride apart
  int64_t x_stride;  // floats
  int64_t rows;
  const std::byte* weights;  // [outputs, inputs] of `dtype`, outputs weight_stride apart, need not be aligned
  int64_t weight_stride;     // bytes
  int64_t outputs;           // 1 to kDotOutputs
  Source source;
  DType dtype;     // f32, f16 or bf16; f32 of a panel
  int64_t inputs;  // any number in the last stretch of a row, before it a multiple of lanes
  float* parts;    // [rows, kDotOutputs, lanes]
};

struct DotKernel {
  int64_t lanes;  ///< parts of a sum
  void (*add)(const DotArgs& args);
  /// sums[j] = all parts of output j. parts: [kDotOutputs, lanes], sums: [kDotOutputs]
  void (*finish)(const float* parts, float* sums);
  /// Decodes `count` weights of `dtype`, f32, f16 or bf16.
  void (*widen)(const std::byte* weights, DType dtype, int64_t count, float* out);
};

void dot_add_avx2(const DotArgs& args);
void dot_finish_avx2(const float* parts, float* sums);
void dot_widen_avx2(const std::byte* weights, DType dtype, int64_t count, float* out);
void dot_add_avx512(const DotArgs& args);
void dot_finish_avx512(const float* parts, float* sums);
void dot_widen_avx512(const std::byte* weights, DType dtype, int64_t count, float* out);

inline constexpr DotKernel kDotAvx2 = {8, dot_add_avx2, dot_finish_avx2, dot_widen_avx2};
inline constexpr DotKernel kDotAvx512 = {16, dot_add_avx512, dot_finish_avx512, dot_widen_avx512};

}  // namespace qvl
