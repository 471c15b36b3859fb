// Powers of two that even out the columns of a weight before it is quantised.
#pragma once

#include <cstdint>

#include "base/function_ref.h"
#include "threads/thread_pool.h"

namespace qvl {

/// Fewer outputs tell too little about a column: then all scales are 1.
constexpr int64_t kLeastOutputsToScale = 64;

/// Decodes row `row` into `out`, [inputs].
using DecodeRowOf = FunctionRef<void(int64_t row, float* out)>;

/// scales[i] is the power of two nearest to the root mean square of column i over that of a typical column
/// (the geometric mean): W / scales has columns of one size, and x * scales goes with it. A column that is
/// all zeros or not finite gets 1. At most 1,024 rows are looked at.
///
/// A network may keep a channel large and the weights that read it small (norm weights do so in trained
/// models); quantised together with their neighbours those weights would vanish. Moving the factor to the
/// activations costs nothing there: their large values have a plane of their own. The reverse of SmoothQuant
/// (Xiao et al. 2023), which spares activations at the cost of weights.
void write_input_scales(ThreadPool& pool, int64_t outputs, int64_t inputs, DecodeRowOf decode_row,
                        float* scales);

}  // namespace qvl
