// 4-bit weights: for each subgroup the scale of least squared error, found by trying and refitting.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/matmul/encode.h"
#include "kernels/matmul/encode_q4_rule.h"
#include "kernels/matmul/lanes.h"
#include "tensor/decode.h"

namespace qvl {
namespace {

constexpr size_t kSubgroups = static_cast<size_t>(kGroup / kSubgroup);
constexpr float kLargestFactor = 127.0f;

using Subgroup = std::array<Lanes, static_cast<size_t>(kSubgroup) / 4>;

Lanes levels_of(Lanes w, float inverse) { return level_of(w * inverse, -8.0f, 7.0f); }

struct Fit {
  float scale = 0;  // may be negative: then the level -8 serves the positive side
  float gain = 0;   // squares explained: sum(w q)^2 / sum(q^2)
};

// The levels at `scale`, and the best scale for those levels (least squares).
Fit refit(const Subgroup& w, float scale) {
  const float inverse = 1 / scale;
  std::array<Lanes, 2> products = {}, squares = {};
  for (size_t i = 0; i < w.size(); ++i) {
    const Lanes q = levels_of(w[i], inverse);
    products[i % 2] += w[i] * q;
    squares[i % 2] += q * q;
  }
  const float product = sum(products), square = sum(squares);
  if (square == 0) return {};
  return {.scale = product / square, .gain = product * product / square};
}

float extreme_of(const Subgroup& w) {
  float extreme = 0;
  for (const Lanes& lanes : w) {
    for (int i = 0; i < 4; ++i) {
      if (std::abs(lanes[i]) > std::abs(extreme)) extreme = lanes[i];
    }
  }
  return extreme;
}

float best_scale(const Subgroup& w) {
  const float extreme = extreme_of(w);
  if (std::abs(extreme) < 1e-30f) return 0;
  Fit best;
  for (float level : kTriedQ4Levels) {
    const Fit fit = refit(w, extreme / level);
    if (fit.gain > best.gain) best = fit;
  }
  const Fit again = best.scale == 0 ? best : refit(w, best.scale);
  return again.gain > best.gain ? again.scale : best.scale;
}

void write_subgroup(const Subgroup& w, float step, int64_t output, int64_t first, Q4Block& out) {
  for (size_t v = 0; v < w.size(); ++v) {
    const Lanes q = step == 0 ? Lanes{} : levels_of(w[v], 1 / step);
    for (int i = 0; i < 4; ++i) {
      write_q4_level(out, output, first + static_cast<int64_t>(v) * 4 + i, static_cast<int>(q[i]));
    }
  }
}

void encode_row(const float* row, int64_t length, int64_t output, Isa isa, Q4Block& out) {
  std::array<float, kGroup> padded{};
  if (length > 0) std::memcpy(padded.data(), row, static_cast<size_t>(length) * sizeof(float));
  const bool finite = std::all_of(padded.begin(), padded.end(), [](float w) { return std::isfinite(w); });
  std::array<Subgroup, kSubgroups> w;
  std::memcpy(w.data(), padded.data(), sizeof padded);
  std::array<float, kSubgroups> scales{};
  float largest = 0;
  for (size_t s = 0; finite && s < kSubgroups; ++s) {
    const float* values = padded.data() + s * static_cast<size_t>(kSubgroup);
    scales[s] = isa == Isa::scalar ? best_q4_scale_scalar(values) : best_q4_scale_avx2(values);
    largest = std::max(largest, std::abs(scales[s]));
  }
  out.unit[output] = finite ? q4_unit(largest) : f32_to_bf16(std::numeric_limits<float>::quiet_NaN());
  const float unit = finite ? bf16_to_f32(out.unit[output]) : 0.0f;
  for (size_t s = 0; s < kSubgroups; ++s) {
    const float factor = unit > 0 ? std::round(scales[s] / unit) : 0.0f;
    out.factor[s][factor_slot(output)] = static_cast<int8_t>(factor);
    write_subgroup(w[s], unit * factor, output, static_cast<int64_t>(s) * kSubgroup, out);
  }
}

}  // namespace

uint16_t q4_unit(float largest_scale) {
  const float unit = largest_scale / kLargestFactor;
  uint16_t bits = f32_to_bf16(unit);
  if (bf16_to_f32(bits) < unit) ++bits;
  return bits;
}

void write_q4_level(Q4Block& block, int64_t output, int64_t input, int level) {
  uint8_t& byte = block.q[input / kStep][output % (kPanel / 2)][input % kStep];
  const int nibble = level + 8;
  byte = static_cast<uint8_t>(output < kPanel / 2 ? (byte & 0xF0) | nibble : (byte & 0x0F) | nibble << 4);
}

float best_q4_scale_scalar(const float* w) {
  Subgroup lanes;
  std::memcpy(lanes.data(), w, sizeof lanes);
  return best_scale(lanes);
}

void encode_q4(const BlockRows& in, Isa isa, Q4Block& out) {
  for (int64_t o = 0; o < kPanel; ++o) {
    const bool there = o < in.outputs;
    encode_row(there ? in.rows[o] : nullptr, there ? in.length : 0, o, isa, out);
  }
}

float decode_q4(const Q4Block& block, int64_t output, int64_t input) {
  const uint8_t byte = block.q[input / kStep][output % (kPanel / 2)][input % kStep];
  const int q = output < kPanel / 2 ? byte & 0x0F : byte >> 4;
  const int factor = block.factor[input / kSubgroup][factor_slot(output)];
  return bf16_to_f32(block.unit[output]) * static_cast<float>(factor * (q - 8));
}

}  // namespace qvl
