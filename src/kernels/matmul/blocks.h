// Layouts of quantised weights: panels of 16 outputs, cut into blocks of kGroup inputs.
//
// Inside a block the weights of four consecutive inputs ("a step") stand together for eight outputs, output
// by output: the order in which integer dot products consume them.
#pragma once

#include <cstdint>

#include "kernels/quantise/quantised_rows.h"

namespace qvl {

constexpr int64_t kPanel = 16;              ///< outputs of a panel
constexpr int64_t kStep = 4;                ///< inputs of a step
constexpr int64_t kSteps = kGroup / kStep;  ///< steps of a block
constexpr int64_t kSubgroupSteps = kSubgroup / kStep;

/// 8-bit weights: w = scale[o] * (q - 128), q in [1, 255]. 8.125 bits a weight.
struct Q8Block {
  float scale[kPanel];
  uint8_t q[kSteps][kPanel][kStep];
};

constexpr int64_t kHalfSteps = kSubgroupSteps / 2;  ///< steps of half a subgroup

/// 8 bits stored, 7 used: w = unit[o] * factor[half subgroup][factor_slot(o)] * (q - 64), q in [1,
/// 127]. 8.625 bits a weight. The products of two steps stay in 16 bits, which AVX2 adds faster than it
/// widens them; the factors of 16 inputs give back what the missing bit costs.
struct Q7Block {
  int8_t factor[2 * kGroup / kSubgroup][kPanel];
  float unit[kPanel];
  uint8_t q[kSteps][kPanel][kStep];
};

/// 4-bit weights: w = unit[o] * factor[subgroup][factor_slot(o)] * (q - 8), q in [0, 15]. 4.3125 bits a
/// weight. The units are BF16. Low nibbles are outputs 0 to 7, high nibbles outputs 8 to 15. A factor may be
/// negative, so that the level -8 can serve either side.
struct Q4Block {
  int8_t factor[kGroup / kSubgroup][kPanel];
  uint16_t unit[kPanel];
  uint8_t q[kSteps][kPanel / 2][kStep];
};

/// Where the factor of an output stands: 0-3, 8-11, 4-7, 12-15. Widened to 16 bits and doubled within 128-bit
/// lanes they then lie beside the sums of outputs 0-7 and 8-15.
constexpr int64_t factor_slot(int64_t output) {
  const int64_t quad = output / 4;
  return (quad == 1 ? 8 : quad == 2 ? 4 : quad * 4) + output % 4;
}

static_assert(sizeof(Q8Block) == 64 + kGroup * kPanel);
static_assert(sizeof(Q7Block) == 320 + kGroup * kPanel);
static_assert(sizeof(Q4Block) == 160 + kGroup * kPanel / 2);

constexpr int64_t panels_of(int64_t outputs) { return (outputs + kPanel - 1) / kPanel; }

}  // namespace qvl
