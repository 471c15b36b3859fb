// 8-bit weights: round to nearest, a scale for each output and group.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/matmul/encode.h"

namespace qvl {
namespace {

// The least scale at which all values stay within 127 steps; zero for zeros.
float scale_of(const float* row, int64_t length) {
  float largest = 0;
  bool finite = true;
  for (int64_t i = 0; i < length; ++i) {
    largest = std::max(largest, std::abs(row[i]));
    finite = finite && std::isfinite(row[i]);
  }
  if (!finite) return std::numeric_limits<float>::quiet_NaN();
  const float scale = largest / 127;
  return scale < 1e-36f ? 0.0f : scale;
}

}  // namespace

void encode_q8(const BlockRows& in, Q8Block& out) {
  for (int64_t o = 0; o < kPanel; ++o) {
    const bool there = o < in.outputs;
    const float scale = there ? scale_of(in.rows[o], in.length) : 0.0f;
    const float inverse = scale > 0 ? 1 / scale : 0.0f;
    out.scale[o] = scale;
    for (int64_t i = 0; i < kGroup; ++i) {
      const float w = there && i < in.length && inverse > 0 ? in.rows[o][i] * inverse : 0.0f;
      out.q[i / kStep][o][i % kStep] = static_cast<uint8_t>(128 + std::lrint(std::clamp(w, -127.0f, 127.0f)));
    }
  }
}

float decode_q8(const Q8Block& block, int64_t output, int64_t input) {
  return block.scale[output] * static_cast<float>(block.q[input / kStep][output][input % kStep] - 128);
}

}  // namespace qvl
