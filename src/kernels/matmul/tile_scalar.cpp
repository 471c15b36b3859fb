// The reference tiles.
#include <cmath>
#include <cstddef>

#include "kernels/matmul/tile.h"
#include "tensor/decode.h"

namespace qvl {
namespace {

template <typename Block>
const Block& block_at(const TileArgs& args, int64_t panel) {
  return *static_cast<const Block*>(
      static_cast<const void*>(static_cast<const std::byte*>(args.blocks) + panel * args.block_stride));
}

int nibble(const Q4Block& block, int64_t step, int64_t output, int64_t i) {
  const uint8_t byte = block.q[step][output % (kPanel / 2)][i];
  return output < kPanel / 2 ? byte & 0x0F : byte >> 4;
}

int32_t dot_q8(const Q8Block& block, int64_t output, int64_t steps, const int8_t* x) {
  int32_t sum = 0;
  for (int64_t s = 0; s < steps; ++s) {
    for (int64_t i = 0; i < kStep; ++i) sum += (block.q[s][output][i] - 128) * x[s * kStep + i];
  }
  return sum;
}

int32_t dot_q7(const Q7Block& block, int64_t output, int64_t steps, const int8_t* x) {
  int32_t sum = 0;
  for (int64_t s = 0; s < steps; ++s) {
    const int factor = block.factor[s / kHalfSteps][factor_slot(output)];
    for (int64_t i = 0; i < kStep; ++i) sum += factor * (block.q[s][output][i] - 64) * x[s * kStep + i];
  }
  return sum;
}

int32_t dot_q4(const Q4Block& block, int64_t output, int64_t steps, const int8_t* x) {
  int32_t sum = 0;
  for (int64_t s = 0; s < steps; ++s) {
    const int factor = block.factor[s / kSubgroupSteps][factor_slot(output)];
    for (int64_t i = 0; i < kStep; ++i) sum += factor * (nibble(block, s, output, i) - 8) * x[s * kStep + i];
  }
  return sum;
}

// Calls dot(panel, output, x of a row) and scale(panel, output) for every sum of the tile.
template <typename Dot, typename Scale>
void each_sum(const TileArgs& args, Dot dot, Scale scale) {
  for (int64_t r = 0; r < args.rows; ++r) {
    for (int64_t p = 0; p < args.panels; ++p) {
      for (int64_t o = 0; o < kPanel; ++o) {
        const auto sum = static_cast<float>(dot(p, o, args.x + r * kGroup));
        float& acc = args.acc[r * kTileOutputs + p * kPanel + o];
        acc = std::fma(sum, scale(p, o) * args.scales[r], acc);
      }
    }
  }
}

}  // namespace

void tile_q8_scalar(const TileArgs& args) {
  each_sum(
      args,
      [&](int64_t p, int64_t o, const int8_t* x) {
        return dot_q8(block_at<Q8Block>(args, p), o, args.steps, x);
      },
      [&](int64_t p, int64_t o) { return block_at<Q8Block>(args, p).scale[o]; });
}

void tile_q7_scalar(const TileArgs& args) {
  each_sum(
      args,
      [&](int64_t p, int64_t o, const int8_t* x) {
        return dot_q7(block_at<Q7Block>(args, p), o, args.steps, x);
      },
      [&](int64_t p, int64_t o) { return block_at<Q7Block>(args, p).unit[o]; });
}

void tile_q4_scalar(const TileArgs& args) {
  each_sum(
      args,
      [&](int64_t p, int64_t o, const int8_t* x) {
        return dot_q4(block_at<Q4Block>(args, p), o, args.steps, x);
      },
      [&](int64_t p, int64_t o) { return bf16_to_f32(block_at<Q4Block>(args, p).unit[o]); });
}

}  // namespace qvl
