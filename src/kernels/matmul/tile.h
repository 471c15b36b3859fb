// The inner loops of the integer products: rows of activations against panels of one group.
#pragma once

#include <cstdint>

#include "kernels/isa.h"
#include "kernels/matmul/blocks.h"
#include "kernels/quantise/quantised_rows.h"

namespace qvl {

constexpr int64_t kTilePanels = 4;                      ///< panels computed beside each other, at most
constexpr int64_t kTileOutputs = kTilePanels * kPanel;  ///< columns of the sums of a tile
constexpr int64_t kMostTileRows = 256;                  ///< rows of a tile, at most

/// acc[r][16 p + o] += w_scale[p][o] * x_scale[r] * sum over the inputs of (w_integer * x_integer)
///
/// All arithmetic up to the conversion of a group's sum to float32 is exact; the last step is one fused
/// multiply-add with the product of the scales. So every instruction set gives the same bits.
struct TileArgs {
  const void* blocks;    // of panel p at blocks + p * block_stride
  int64_t block_stride;  // bytes
  const void* ahead;  // of panel 0 the block in use some blocks later; a hint, perhaps past the weight's end
  int64_t panels;     // 1 to kTilePanels
  int64_t steps;      // of the group that hold inputs, a multiple of kSubgroupSteps
  const int8_t* x;    // [rows][kGroup], QuantisedPlane::values of the group
  const float* scales;   // [rows]
  const int32_t* sums;   // [rows]
  const int32_t* pairs;  // [rows][kGroup / kSubgroup]
  int64_t rows;          // at most kMostTileRows
  float* acc;            // [rows][kTileOutputs]
};

using TileKernel = void (*)(const TileArgs&);

void tile_q8_scalar(const TileArgs& args);
void tile_q7_scalar(const TileArgs& args);
void tile_q4_scalar(const TileArgs& args);
void tile_q8_avx2(const TileArgs& args);
void tile_q7_avx2(const TileArgs& args);
void tile_q4_avx2(const TileArgs& args);
void tile_q8_avxvnni(const TileArgs& args);
void tile_q4_avxvnni(const TileArgs& args);
void tile_q8_avx512(const TileArgs& args);
void tile_q4_avx512(const TileArgs& args);

}  // namespace qvl
