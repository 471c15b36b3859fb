// Inputs of a layer that are much larger than the others, as far as weights tell before there is a picture.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/function_ref.h"
#include "kernels/matmul/packed_weight.h"
#include "threads/thread_pool.h"

namespace qvl {

/// The median; 0 where a number is not finite, or where there is none.
float typical_size(std::span<const float> sizes);

/// The places, ascending, of what is more than eight times the median. At most kMostRepeated, the largest.
/// None where a number is not finite, or where more than half of them are 0.
///
/// A sum over such inputs hangs on few weights, whose rounding nothing averages out.
std::vector<int32_t> outlying(std::span<const float> sizes);

struct LayerNumbers {
  int64_t outputs, inputs;
  std::span<const float> input_sizes, bias;  // [inputs], [outputs]
};
/// How large the outputs of a layer are expected to be: sqrt(sum of (weight * input size)^2 + bias^2).
/// [outputs]
std::vector<float> output_sizes(ThreadPool& pool, const LayerNumbers& layer,
                                FunctionRef<void(int64_t row, float* out)> decode_row);

}  // namespace qvl
