// 7-bit weights: in units of the row's block the factor of least squared error for each 16 inputs, then round
// to nearest.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/matmul/encode.h"
#include "kernels/matmul/encode_q7_rule.h"
#include "kernels/matmul/lanes.h"

namespace qvl {
namespace {

constexpr int64_t kHalves = kGroup / kQ7Half;

using Half = std::array<Lanes, static_cast<size_t>(kQ7Half) / 4>;

// Of what rounding leaves with this factor, in squares of units.
float squared_error(const Half& w, float unit, int factor) {
  const float inverse = 1 / (unit * static_cast<float>(factor));
  std::array<Lanes, 2> squares = {};  // together eight lanes
  for (size_t i = 0; i < w.size(); ++i) {
    const Lanes scaled = w[i] * inverse;
    const Lanes rest = scaled - level_of(scaled, -kLargestQ7Level, kLargestQ7Level);
    squares[i % 2] += rest * rest;
  }
  return sum(squares) * static_cast<float>(factor * factor);
}

// Zero where all are zero; NaN where a value is not finite. Leaves room above the largest value's factor.
float unit_of(const std::array<float, kGroup>& row) {
  float largest = 0;
  for (const float w : row) {
    if (!std::isfinite(w)) return std::numeric_limits<float>::quiet_NaN();
    largest = std::max(largest, std::abs(w));
  }
  const float unit = largest * (1 / (kLargestQ7Level * (kLargestQ7Factor - kQ7FactorsAbove)));
  return unit >= 1e-36f ? unit : 0.0f;
}

void encode_row(const float* row, int64_t length, int64_t output, Isa isa, Q7Block& out) {
  std::array<float, kGroup> padded{};
  if (length > 0) std::memcpy(padded.data(), row, static_cast<size_t>(length) * sizeof(float));
  const float unit = unit_of(padded);
  out.unit[output] = unit;
  for (int64_t s = 0; s < kHalves; ++s) {
    const float* w = padded.data() + s * kQ7Half;
    int factor = 0;
    if (unit > 0) factor = isa == Isa::scalar ? best_q7_factor_scalar(w, unit) : best_q7_factor_avx2(w, unit);
    out.factor[s][factor_slot(output)] = static_cast<int8_t>(factor);
    const float inverse = factor > 0 ? 1 / (unit * static_cast<float>(factor)) : 0.0f;
    for (int64_t i = 0; i < kQ7Half; ++i) {
      const float scaled = factor > 0 ? w[i] * inverse : 0.0f;
      const long level = std::lrint(std::clamp(scaled, -kLargestQ7Level, kLargestQ7Level));
      const int64_t input = s * kQ7Half + i;
      out.q[input / kStep][output][input % kStep] = static_cast<uint8_t>(64 + level);
    }
  }
}

}  // namespace

int best_q7_factor_scalar(const float* w, float unit) {
  Half lanes;
  std::memcpy(lanes.data(), w, sizeof lanes);
  float largest = 0;
  for (int64_t i = 0; i < kQ7Half; ++i) largest = std::max(largest, std::abs(w[i]));
  if (largest == 0) return 0;
  const int middle = static_cast<int>(std::round(largest / (kLargestQ7Level * unit)));
  int best = 0;
  float least = std::numeric_limits<float>::infinity();
  const int last = std::min(middle + kQ7FactorsAbove, kLargestQ7Factor);
  for (int factor = std::max(middle - kQ7FactorsBelow, 1); factor <= last; ++factor) {
    const float error = squared_error(lanes, unit, factor);
    if (error < least) {
      least = error;
      best = factor;
    }
  }
  return best;
}

void encode_q7(const BlockRows& in, Isa isa, Q7Block& out) {
  for (int64_t o = 0; o < kPanel; ++o) {
    const bool there = o < in.outputs;
    encode_row(there ? in.rows[o] : nullptr, there ? in.length : 0, o, isa, out);
  }
}

float decode_q7(const Q7Block& block, int64_t output, int64_t input) {
  const int factor = block.factor[input / kQ7Half][factor_slot(output)];
  return block.unit[output] *
         static_cast<float>(factor * (block.q[input / kStep][output][input % kStep] - 64));
}

}  // namespace qvl
