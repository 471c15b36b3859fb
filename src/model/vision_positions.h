// Where patches are: the interpolated position embedding and the 2-D rotation of the vision tower.
#pragma once

#include <span>

#include "files/model_config.h"
#include "media/image.h"
#include "ops/ops.h"

namespace qvl {

/// Adds the learned position table, interpolated bilinearly with aligned corners to h x w, to the embedded
/// patches of every temporal step. table: [side * side, hidden]; x: [grid.patches(), hidden], merge-block
/// order.
void add_position_embedding(std::span<const float> table, const VisionConfig& config, PatchGrid grid,
                            Tensor& x);

/// Angles of one temporal step: row frequencies first, then column frequencies. [h * w, head_dim / 2],
/// merge-block order
RotaryTable vision_rotary(const VisionConfig& config, PatchGrid grid, MemoryHome memory = {});

}  // namespace qvl
