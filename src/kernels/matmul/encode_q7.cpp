// 7-bit weights: a factor for each 16 inputs in units of the row's block, then round to nearest.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/matmul/encode.h"

namespace qvl {
namespace {

constexpr int64_t kHalf = kSubgroup / 2;  // inputs that share a factor
constexpr int64_t kHalves = kGroup / kHalf;
constexpr float kLargestLevel = 63.0f, kLargestFactor = 127.0f;

struct RowScales {
  float unit = 0;  // NaN where a value is not finite
  std::array<int8_t, kHalves> factors{};
};

RowScales scales_of(const float* row, int64_t length) {
  std::array<float, kHalves> largest{};
  bool finite = true;
  for (int64_t i = 0; i < length; ++i) {
    float& group = largest[static_cast<size_t>(i / kHalf)];
    group = std::max(group, std::abs(row[i]));
    finite = finite && std::isfinite(row[i]);
  }
  RowScales scales;
  scales.unit = *std::max_element(largest.begin(), largest.end()) * (1 / (kLargestLevel * kLargestFactor));
  if (!finite) scales.unit = std::numeric_limits<float>::quiet_NaN();
  if (!(scales.unit >= 1e-36f)) {
    if (finite) scales.unit = 0;
    return scales;
  }
  for (size_t s = 0; s < largest.size(); ++s) {
    const float factor = std::round(largest[s] / (kLargestLevel * scales.unit));
    scales.factors[s] = static_cast<int8_t>(std::min(factor, kLargestFactor));
  }
  return scales;
}

}  // namespace

void encode_q7(const BlockRows& in, Q7Block& out) {
  for (int64_t o = 0; o < kPanel; ++o) {
    const bool there = o < in.outputs;
    const RowScales scales = there ? scales_of(in.rows[o], in.length) : RowScales{};
    out.unit[o] = scales.unit;
    for (int64_t s = 0; s < kHalves; ++s) {
      const int8_t factor = scales.factors[static_cast<size_t>(s)];
      out.factor[s][factor_slot(o)] = factor;
      const float inverse = factor > 0 ? 1 / (scales.unit * static_cast<float>(factor)) : 0.0f;
      for (int64_t i = s * kHalf; i < (s + 1) * kHalf; ++i) {
        const float w = there && i < in.length && inverse > 0 ? in.rows[o][i] * inverse : 0.0f;
        const long level = std::lrint(std::clamp(w, -kLargestLevel, kLargestLevel));
        out.q[i / kStep][o][i % kStep] = static_cast<uint8_t>(64 + level);
      }
    }
  }
}

float decode_q7(const Q7Block& block, int64_t output, int64_t input) {
  const int factor = block.factor[input / kHalf][factor_slot(output)];
  return block.unit[output] *
         static_cast<float>(factor * (block.q[input / kStep][output][input % kStep] - 64));
}

}  // namespace qvl
