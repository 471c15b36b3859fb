#include "kernels/matmul/repack.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/matmul/encode_q4_rule.h"
#include "tensor/decode.h"

namespace qvl {
namespace {

constexpr int64_t kQ4_0Bytes = 18, kQ4_0Weights = 32;
constexpr int64_t kQ6_KBytes = 210, kQ6_KWeights = 256, kQ6_KScaleWeights = 16;
static_assert(kQ4_0Weights == kSubgroup && kQ6_KWeights == kGroup && 2 * kQ6_KScaleWeights == kSubgroup);

float half_at(const std::byte* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return f16_to_f32(bits);
}
int byte_at(const std::byte* at) { return std::to_integer<int>(*at); }

// One row of Q4_0: `blocks` of them, the others of the group are zeros.
void repack_q4_0_row(const std::byte* row, int64_t blocks, int64_t output, Q4Block& out) {
  std::array<float, kGroup / kSubgroup> scales{};
  float largest = 0;
  bool finite = true;
  for (int64_t s = 0; s < blocks; ++s) {
    const float scale = half_at(row + s * kQ4_0Bytes);
    scales[static_cast<size_t>(s)] = scale;
    largest = std::max(largest, std::abs(scale));
    finite = finite && std::isfinite(scale);
  }
  out.unit[output] = finite ? q4_unit(largest) : f32_to_bf16(std::numeric_limits<float>::quiet_NaN());
  const float unit = finite ? bf16_to_f32(out.unit[output]) : 0.0f;
  for (int64_t s = 0; s < kGroup / kSubgroup; ++s) {
    const float factor = unit > 0 ? std::round(scales[static_cast<size_t>(s)] / unit) : 0.0f;
    out.factor[s][factor_slot(output)] = static_cast<int8_t>(factor);
    for (int64_t i = 0; i < kSubgroup; ++i) {
      int level = 0;
      if (s < blocks) {
        const int pair = byte_at(row + s * kQ4_0Bytes + 2 + i % 16);
        level = (i < 16 ? pair & 15 : pair >> 4) - 8;
      }
      write_q4_level(out, output, s * kSubgroup + i, level);
    }
  }
}

// The level of weight `e` of a Q6_K block, -32 to 31; see decode_q6_k_block.
int q6_k_level(const std::byte* block, int64_t e) {
  const int64_t half = e / 128, quarter = e % 128 / 32, i = e % 32;
  const int low = byte_at(block + 64 * half + 32 * (quarter % 2) + i) >> (quarter < 2 ? 0 : 4) & 15;
  const int high = byte_at(block + 128 + 32 * half + i) >> (2 * quarter) & 3;
  return (low | high << 4) - 32;
}

}  // namespace

bool can_repack(DType stored, WeightForm form) {
  return (stored == DType::q4_0 && form == WeightForm::q4) ||
         (stored == DType::q6_k && form == WeightForm::q7);
}

void repack_q4_0(const StoredRows& in, Q4Block& out) {
  for (int64_t o = 0; o < kPanel; ++o) {
    const bool there = o < in.outputs;
    repack_q4_0_row(there ? in.rows[o] : nullptr, there ? in.length / kQ4_0Weights : 0, o, out);
  }
}

void repack_q6_k(const StoredRows& in, Q7Block& out) {
  for (int64_t o = 0; o < kPanel; ++o) {
    const std::byte* block = o < in.outputs && in.length > 0 ? in.rows[o] : nullptr;
    out.unit[o] = block != nullptr ? half_at(block + kQ6_KBytes - 2) : 0.0f;
    for (int64_t s = 0; s < kGroup / kQ6_KScaleWeights; ++s) {
      out.factor[s][factor_slot(o)] = block != nullptr ? std::bit_cast<int8_t>(block[192 + s]) : int8_t{0};
    }
    for (int64_t i = 0; i < kGroup; ++i) {
      const int level = block != nullptr ? q6_k_level(block, i) : 0;
      out.q[i / kStep][o][i % kStep] = static_cast<uint8_t>(64 + level);
    }
  }
}

}  // namespace qvl
