// A weight in the order its kernel reads, with the kernel that reads it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "kernels/isa.h"
#include "kernels/quantise/quantised_rows.h"
#include "tensor/decode.h"
#include "tensor/tensor.h"

namespace qvl {

struct PackedWeight;

/// How a weight lies in memory.
enum class WeightForm : uint8_t {
  stored,  ///< row by row as in the file, of any stored type; products in float32
  q8,      ///< Q8Block (blocks.h): products in integers
  q7,      ///< Q7Block
  q4,      ///< Q4Block
};
std::string_view name_of(WeightForm form);
/// What inputs keep to, so that 16-bit sums of their products with weights of `form` do not overflow.
SumBound sum_bound(WeightForm form);

/// What becomes of a product before it is written.
enum class Epilogue : uint8_t { assign, add, gelu_tanh, gelu_erf };

/// A share of y = epilogue(x * W^T + bias): outputs [first, last) of `rows` rows from `first_row` on.
struct MatmulArgs {
  const PackedWeight* weight;
  const float* x;                    // [all rows, inputs]; read by kernels of stored weights
  const QuantisedRows* quantised_x;  // read by kernels of quantised weights
  int64_t first_row, rows;
  int64_t first, last;  // outputs, first a multiple of the kernel's output_block
  const float* bias;    // [outputs] or null
  float* y;             // [all rows, outputs], rows y_stride apart
  int64_t y_stride;
  Epilogue epilogue;
  float* scratch;  // at least kernel->scratch_floats(weight, rows)
};

/// One way to compute a matrix product. Results do not depend on `rows` nor on how outputs are split.
struct MatmulKernel {
  std::string_view name;  ///< form and instruction set: "q4/avx2"
  WeightForm form;
  Isa isa;
  int64_t output_block;  ///< shares begin at multiples of this
  int64_t row_block;     ///< rows of a share: with fewer, work is done again that they could have in common
  int64_t (*scratch_floats)(const PackedWeight& weight, int64_t rows);
  void (*run)(const MatmulArgs& args);
};

/// The list of all kernels: what is chosen from, tested and measured.
std::span<const MatmulKernel> matmul_kernels();
/// The one of `form` for `isa` or the nearest set that it extends.
const MatmulKernel& matmul_kernel(WeightForm form, Isa isa);

/// The 8-bit form that `isa` multiplies fastest with many rows.
WeightForm many_rows_form(Isa isa);

/// Inputs that are repeated at most: products go in steps of so many.
constexpr size_t kMostRepeated = kSubgroup;

/// Those before the first negative number.
std::span<const int32_t> used_part(std::span<const int32_t> repeated);

/// Fewer packed bytes are packed faster than a file of them is worth.
constexpr uint64_t kLeastPackedFile = 64 << 20;

/// W: [outputs, inputs]. Borrowed bytes.
struct PackedWeight {
  WeightForm form = WeightForm::stored;
  DType dtype = DType::f32;  ///< of stored weights
  int64_t outputs = 0;
  int64_t inputs = 0;
  const std::byte* data = nullptr;
  /// [inputs], powers of two: the weight stands for W / input_scale, made for inputs x * input_scale. Null
  /// for stored weights.
  const float* input_scale = nullptr;
  RestRule rest_rule = RestRule::outlying;  ///< how finely inputs are quantised for it
  /// Inputs whose columns come a second time, in a group of their own behind the others: there is what
  /// rounding left of them. Quantised weights of 7 and 8 bits only; mostly empty. What follows the first
  /// negative number is not used.
  std::span<const int32_t> repeated = {};
  uint64_t row_bytes = 0;  ///< of a row of stored weights, of a panel of 16 outputs of quantised ones
  const MatmulKernel* kernel = nullptr;

  std::span<const int32_t> repeated_inputs() const { return used_part(repeated); }
  /// Columns that products read: the inputs, and from the next whole group on those that are repeated.
  int64_t columns() const {
    const size_t count = repeated_inputs().size();
    return count == 0 ? inputs : groups_of(inputs) * kGroup + static_cast<int64_t>(count);
  }
  uint64_t bytes() const {
    const int64_t lines = form == WeightForm::stored ? outputs : (outputs + 15) / 16;
    return static_cast<uint64_t>(lines) * row_bytes;
  }
};

}  // namespace qvl
