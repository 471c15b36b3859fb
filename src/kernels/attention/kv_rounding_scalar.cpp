// Rounding keys and values to integers, one number after another.
#include <algorithm>
#include <cmath>

#include "kernels/attention/kv_block.h"

namespace qvl {
namespace {

float largest_magnitude(const float* x, int64_t count) {
  float largest = 0, poison = 0;
  for (int64_t i = 0; i < count; ++i) {
    largest = std::max(largest, std::abs(x[i]));
    poison += x[i] - x[i];
  }
  return largest + poison;
}

template <typename Integer>
void round_to(const float* x, int64_t count, float scale, Integer* out) {
  const float inverse = scale > kSmallestKvScale ? 1 / scale : 0.0f;
  for (int64_t i = 0; i < count; ++i) {
    const float scaled = x[i] * inverse;
    out[i] = inverse > 0 ? static_cast<Integer>(scaled + (scaled < 0 ? -0.5f : 0.5f)) : Integer{0};
  }
}

}  // namespace

const KvRounding kKvRoundingScalar = {largest_magnitude, round_to<int16_t>, round_to<int8_t>};

}  // namespace qvl
