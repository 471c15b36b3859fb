// Float32 rows to 8-bit integers, one scale for each group of kGroup inputs.
#pragma once

#include "kernels/isa.h"
#include "kernels/quantise/quantised_rows.h"

namespace qvl {

/// Writes row `row` of `out`. x: [out.inputs]. The scale of a group is the least that keeps the bounds of
/// its values (SumBound). A group with a value that is not finite gets the scale NaN.
///
/// A group is outlying where the squares of its integers sum to less than length * 127^2 / 6^2, that is,
/// where its largest value is more than six times the root of the mean square. The rest of each value is kept
/// where out.rest_rule says so, at a 128th of the scale.
using QuantiseRow = void (*)(const float* x, int64_t row, const QuantisedRows& out);

void quantise_row_scalar(const float* x, int64_t row, const QuantisedRows& out);
void quantise_row_avx2(const float* x, int64_t row, const QuantisedRows& out);

QuantiseRow quantise_row(Isa isa);

}  // namespace qvl
