// Products over quantised blocks: the loops around a tile, the same for every instruction set.
#pragma once

#include "kernels/matmul/packed_weight.h"
#include "kernels/matmul/tile.h"

namespace qvl {

struct BlockedTile {
  TileKernel run;
  int64_t few_rows_panels;  ///< panels beside each other for 5 to 8 rows, 1 to kTilePanels
};
void run_blocked(const MatmulArgs& args, const BlockedTile& tile);
int64_t blocked_scratch_floats(const PackedWeight& weight, int64_t rows);
/// Bytes of one block of `form`, which is not `stored`.
int64_t block_bytes(WeightForm form);

template <TileKernel tile, int64_t kFewRowsPanels = 1>
constexpr MatmulKernel blocked_kernel(std::string_view name, WeightForm form, Isa isa) {
  return {.name = name,
          .form = form,
          .isa = isa,
          .output_block = kPanel,
          .row_block = kMostTileRows,
          .scratch_floats = blocked_scratch_floats,
          .run = [](const MatmulArgs& args) {
            run_blocked(args, {tile, kFewRowsPanels});
          }};
}

}  // namespace qvl
