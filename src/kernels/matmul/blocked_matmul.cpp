// Loop order, from the outside: 256 rows (their sums for 64 outputs fit the second cache), 64 outputs, groups
// of 256 inputs (16 KB of weights stay in the first cache while all rows pass).
#include "kernels/matmul/blocked_matmul.h"

#include <algorithm>

#include "kernels/matmul/epilogue.h"

namespace qvl {
namespace {

constexpr int64_t kRowBlock = 256;

struct Window {
  int64_t first_row, rows;
  int64_t first_panel, panels;
};

TileArgs tile_args(const MatmulArgs& args, const Window& window, int64_t group) {
  const PackedWeight& weight = *args.weight;
  const QuantisedRows& x = *args.quantised_x;
  const int64_t at = group_row(x, group, window.first_row);
  const int64_t inputs = std::min(kGroup, weight.inputs - group * kGroup);
  const auto panel_bytes = static_cast<int64_t>(weight.row_bytes);
  return {.blocks = weight.data + window.first_panel * panel_bytes + group * block_bytes(weight.form),
          .block_stride = panel_bytes,
          .panels = window.panels,
          .steps = (inputs + kSubgroup - 1) / kSubgroup * kSubgroupSteps,
          .x = x.main.values + at * kGroup,
          .scales = x.main.scales + at,
          .sums = x.main.sums + at,
          .pairs = x.main.pairs + at * (kGroup / kSubgroup),
          .rows = window.rows,
          .acc = args.scratch};
}

// Adds what rounding left, where it is kept: runs of neighbouring rows together.
void add_rest(const QuantisedRows& x, int64_t at, const TileArgs& main, TileKernel tile) {
  TileArgs rest = main;
  for (int64_t r = 0; r < main.rows; r += rest.rows + 1) {
    rest.rows = 0;
    while (r + rest.rows < main.rows && x.has_rest[at + r + rest.rows] != 0) ++rest.rows;
    if (rest.rows == 0) continue;
    rest.x = x.rest.values + (at + r) * kGroup;
    rest.scales = x.rest.scales + at + r;
    rest.sums = x.rest.sums + at + r;
    rest.pairs = x.rest.pairs + (at + r) * (kGroup / kSubgroup);
    rest.acc = main.acc + r * kTileOutputs;
    tile(rest);
  }
}

void run_window(const MatmulArgs& args, const Window& window, TileKernel tile) {
  std::fill_n(args.scratch, window.rows * kTileOutputs, 0.0f);
  for (int64_t group = 0; group < groups_of(args.weight->inputs); ++group) {
    const TileArgs main = tile_args(args, window, group);
    tile(main);
    add_rest(*args.quantised_x, group_row(*args.quantised_x, group, window.first_row), main, tile);
  }
  const int64_t first = window.first_panel * kPanel;
  const int64_t count = std::min(window.panels * kPanel, args.last - first);
  for (int64_t r = 0; r < window.rows; ++r) {
    finish_outputs(args, window.first_row + r, first, count, args.scratch + r * kTileOutputs);
  }
}

}  // namespace

int64_t block_bytes(WeightForm form) { return form == WeightForm::q8 ? sizeof(Q8Block) : sizeof(Q4Block); }

int64_t blocked_scratch_floats(const PackedWeight&, int64_t rows) {
  return std::min(rows, kRowBlock) * kTileOutputs;
}

void run_blocked(const MatmulArgs& args, TileKernel tile) {
  const int64_t last_panel = panels_of(args.last);
  for (int64_t row = 0; row < args.rows; row += kRowBlock) {
    for (int64_t panel = args.first / kPanel; panel < last_panel; panel += kTilePanels) {
      run_window(args,
                 {.first_row = row,
                  .rows = std::min(kRowBlock, args.rows - row),
                  .first_panel = panel,
                  .panels = std::min(kTilePanels, last_panel - panel)},
                 tile);
    }
  }
}

}  // namespace qvl
