// Loop order, from the outside: 256 rows (their sums for 64 outputs fit the second cache), 64 outputs, groups
// of 256 inputs (16 KB of weights stay in the first cache while all rows pass).
#include "kernels/matmul/blocked_matmul.h"

#include <algorithm>
#include <cstring>

#include "kernels/matmul/epilogue.h"

namespace qvl {
namespace {

constexpr int64_t kRowBlock = kMostTileRows;
// So few rows are over before their weights have come from memory: one panel after another then, which reads
// memory in one stream.
constexpr int64_t kOnePanelRows = 4;
// Up to so many arithmetic binds instead: BlockedTile says how many panels serve it best.
constexpr int64_t kFewRows = 8;
// Blocks between the one in use and the one asked for: what a processor computes while memory answers.
constexpr int64_t kBlocksAhead = 3;

// What all windows of a product have in common.
struct Product {
  const MatmulArgs& args;
  TileKernel tile;
  int64_t columns, groups;
  int64_t block_bytes, panel_bytes;
};

struct Window {
  int64_t first_row, rows;
  int64_t first_panel, panels;
};

// The block of the first panel that is used kBlocksAhead blocks later, perhaps in the next window.
const std::byte* block_ahead(const Product& product, const Window& window, int64_t group) {
  int64_t at = group + (kBlocksAhead + window.panels - 1) / window.panels;
  int64_t panel = window.first_panel;
  for (; at >= product.groups; at -= product.groups) panel += window.panels;
  return product.args.weight->data + panel * product.panel_bytes + at * product.block_bytes;
}

TileArgs tile_args(const Product& product, const Window& window, int64_t group) {
  const QuantisedRows& x = *product.args.quantised_x;
  const int64_t at = group_row(x, group, window.first_row);
  const int64_t columns = std::min(kGroup, product.columns - group * kGroup);
  return {.blocks = product.args.weight->data + window.first_panel * product.panel_bytes +
                    group * product.block_bytes,
          .block_stride = product.panel_bytes,
          .ahead = block_ahead(product, window, group),
          .panels = window.panels,
          .steps = (columns + kSubgroup - 1) / kSubgroup * kSubgroupSteps,
          .x = x.main.values + at * kGroup,
          .scales = x.main.scales + at,
          .sums = x.main.sums + at,
          .pairs = x.main.pairs + at * (kGroup / kSubgroup),
          .rows = window.rows,
          .acc = product.args.scratch};
}

// Rows with a rest, gathered: outlying groups are scattered, and a tile is fast on many rows at once.
struct Gathered {
  static constexpr int64_t kRows = 24;
  alignas(64) int8_t x[kRows][kGroup];
  alignas(64) float acc[kRows][kTileOutputs];
  int32_t pairs[kRows][kGroup / kSubgroup];
  float scales[kRows];
  int32_t sums[kRows];
  int64_t rows[kRows];
  int64_t count = 0;
};

TileArgs rest_args(const QuantisedPlane& rest, int64_t at, const TileArgs& main) {
  TileArgs args = main;
  args.x = rest.values + at * kGroup;
  args.scales = rest.scales + at;
  args.sums = rest.sums + at;
  args.pairs = rest.pairs + at * (kGroup / kSubgroup);
  return args;
}

void gather(const QuantisedPlane& rest, int64_t at, int64_t row, const TileArgs& main, Gathered& out) {
  const TileArgs from = rest_args(rest, at + row, main);
  const int64_t to = out.count++;
  out.rows[to] = row;
  std::memcpy(out.x[to], from.x, sizeof out.x[to]);
  std::memcpy(out.acc[to], main.acc + row * kTileOutputs, sizeof out.acc[to]);
  std::memcpy(out.pairs[to], from.pairs, sizeof out.pairs[to]);
  out.scales[to] = *from.scales;
  out.sums[to] = *from.sums;
}

void add_gathered(const TileArgs& main, TileKernel tile, Gathered& rows) {
  if (rows.count == 0) return;
  TileArgs args = main;
  args.x = rows.x[0];
  args.scales = rows.scales;
  args.sums = rows.sums;
  args.pairs = rows.pairs[0];
  args.rows = rows.count;
  args.acc = rows.acc[0];
  tile(args);
  for (int64_t r = 0; r < rows.count; ++r) {
    std::memcpy(main.acc + rows.rows[r] * kTileOutputs, rows.acc[r], sizeof rows.acc[r]);
  }
  rows.count = 0;
}

// Rows from `row` on until the next one with a rest, or all.
int64_t rows_without(const uint8_t* has_rest, int64_t row, int64_t rows) {
  const void* found = std::memchr(has_rest + row, 1, static_cast<size_t>(rows - row));
  return (found == nullptr ? rows : static_cast<const uint8_t*>(found) - has_rest) - row;
}

// Adds what rounding left, where it is kept: where they lie if all rows are few or those beside each other
// many, others gathered.
void add_rest(const QuantisedRows& x, int64_t at, const TileArgs& main, TileKernel tile) {
  const uint8_t* has_rest = x.has_rest + at;
  int64_t r = rows_without(has_rest, 0, main.rows);
  if (r == main.rows) return;
  Gathered few;
  while (r < main.rows) {
    int64_t run = 1;
    while (r + run < main.rows && has_rest[r + run] != 0) ++run;
    if (run >= Gathered::kRows || main.rows <= kFewRows) {
      TileArgs rest = rest_args(x.rest, at + r, main);
      rest.rows = run;
      rest.acc = main.acc + r * kTileOutputs;
      tile(rest);
    } else {
      for (int64_t i = 0; i < run; ++i) {
        gather(x.rest, at, r + i, main, few);
        if (few.count == Gathered::kRows) add_gathered(main, tile, few);
      }
    }
    r += run + rows_without(has_rest, r + run, main.rows);
  }
  add_gathered(main, tile, few);
}

int64_t panels_for(int64_t rows, const BlockedTile& tile) {
  if (rows <= kOnePanelRows) return 1;
  return rows <= kFewRows ? tile.few_rows_panels : kTilePanels;
}

void run_window(const Product& product, const Window& window) {
  const MatmulArgs& args = product.args;
  std::fill_n(args.scratch, window.rows * kTileOutputs, 0.0f);
  for (int64_t group = 0; group < product.groups; ++group) {
    const TileArgs main = tile_args(product, window, group);
    product.tile(main);
    add_rest(*args.quantised_x, group_row(*args.quantised_x, group, window.first_row), main, product.tile);
  }
  const int64_t first = window.first_panel * kPanel;
  const int64_t count = std::min(window.panels * kPanel, args.last - first);
  for (int64_t r = 0; r < window.rows; ++r) {
    finish_outputs(args, window.first_row + r, first, count, args.scratch + r * kTileOutputs);
  }
}

}  // namespace

int64_t block_bytes(WeightForm form) {
  if (form == WeightForm::q8) return sizeof(Q8Block);
  return form == WeightForm::q7 ? sizeof(Q7Block) : sizeof(Q4Block);
}

int64_t blocked_scratch_floats(const PackedWeight&, int64_t rows) {
  return std::min(rows, kRowBlock) * kTileOutputs;
}

void run_blocked(const MatmulArgs& args, const BlockedTile& tile) {
  const Product product = {.args = args,
                           .tile = tile.run,
                           .columns = args.weight->columns(),
                           .groups = groups_of(args.weight->columns()),
                           .block_bytes = block_bytes(args.weight->form),
                           .panel_bytes = static_cast<int64_t>(args.weight->row_bytes)};
  const int64_t last_panel = panels_of(args.last);
  const int64_t panels = panels_for(args.rows, tile);
  const int64_t last_row = args.first_row + args.rows;
  for (int64_t row = args.first_row; row < last_row; row += kRowBlock) {
    for (int64_t panel = args.first / kPanel; panel < last_panel; panel += panels) {
      run_window(product, {.first_row = row,
                           .rows = std::min(kRowBlock, last_row - row),
                           .first_panel = panel,
                           .panels = std::min(panels, last_panel - panel)});
    }
  }
}

}  // namespace qvl
