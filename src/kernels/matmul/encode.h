// Weights to the quantised blocks that the integer products read.
#pragma once

#include "kernels/isa.h"
#include "kernels/matmul/blocks.h"

namespace qvl {

/// One block from rows of float32. rows: [outputs <= kPanel] pointers to `length` <= kGroup weights each;
/// what is missing becomes zero weights. Values that are not finite poison their row: its scale is NaN.
struct BlockRows {
  const float* rows[kPanel];
  int64_t outputs;
  int64_t length;
};

/// Round to nearest, the scale from the largest value of each row.
void encode_q8(const BlockRows& in, Q8Block& out);
/// A unit for each row, for each half subgroup the factor of least squared error.
void encode_q7(const BlockRows& in, Isa isa, Q7Block& out);
/// Scales searched for the least squared error, for each subgroup; then rounded to the block's units.
void encode_q4(const BlockRows& in, Isa isa, Q4Block& out);

/// The scale of least squared error of a subgroup with levels -8 to 7, zero for zeros. w: [kSubgroup],
/// finite. The same bits on every instruction set.
float best_q4_scale_scalar(const float* w);
float best_q4_scale_avx2(const float* w);

/// The factor of least squared error for 16 weights with levels -63 to 63 in steps of unit * factor, at most
/// 127; zero for zeros. w: [kSubgroup / 2], finite, at most 63 * 127 units. The same bits on every
/// instruction set.
int best_q7_factor_scalar(const float* w, float unit);
int best_q7_factor_avx2(const float* w, float unit);

/// The weight at (output, input) of a block, for tests and errors.
float decode_q8(const Q8Block& block, int64_t output, int64_t input);
float decode_q7(const Q7Block& block, int64_t output, int64_t input);
float decode_q4(const Q4Block& block, int64_t output, int64_t input);

}  // namespace qvl
