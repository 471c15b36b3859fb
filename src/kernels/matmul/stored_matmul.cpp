// Loop order, from the outside: 128 rows, 16 outputs, and for more than a few rows stretches of 32 vectors of
// inputs, decoded to float32 before (16 KB, or 32 with AVX-512, which stay in the first cache while all rows
// pass).
#include "kernels/matmul/stored_matmul.h"

#include <algorithm>

#include "kernels/matmul/epilogue.h"

namespace qvl {
namespace {

constexpr int64_t kRowBlock = 128;  // their sums for 16 outputs fit the second cache
constexpr int64_t kFewRows = 8;     // decoding pays with more

// Inputs decoded at a time: whole blocks of every stored type.
int64_t stretch_of(const DotKernel& dot) { return 32 * dot.lanes; }
int64_t panel_floats(const DotKernel& dot) { return kDotOutputs * stretch_of(dot); }

bool is_float(DType dtype) { return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16; }

// Some rows with all their inputs, and up to 16 outputs.
struct Window {
  int64_t first_row, rows;
  int64_t first, count;
};

DotArgs dot_args(const MatmulArgs& args, const Window& window, float* parts) {
  const PackedWeight& weight = *args.weight;
  return {.x = args.x + window.first_row * weight.inputs,
          .x_stride = weight.inputs,
          .rows = window.rows,
          .weights = weight.data + static_cast<uint64_t>(window.first) * weight.row_bytes,
          .weight_stride = static_cast<int64_t>(weight.row_bytes),
          .outputs = window.count,
          .source = DotArgs::Source::memory,
          .dtype = weight.dtype,
          .inputs = weight.inputs,
          .parts = parts};
}

// Decodes inputs [first, first + count) of all outputs. panel: [outputs, stretch]
void decode_panel(const DotArgs& args, const DotKernel& dot, int64_t first, int64_t count, float* panel) {
  const uint64_t skipped = *bytes_for(args.dtype, static_cast<uint64_t>(first));
  for (int64_t o = 0; o < args.outputs; ++o) {
    const std::byte* weights = args.weights + o * args.weight_stride + skipped;
    float* row = panel + o * stretch_of(dot);
    if (is_float(args.dtype)) {
      dot.widen(weights, args.dtype, count, row);
    } else {
      decoder(args.dtype)(weights, static_cast<size_t>(count), row);
    }
  }
}

void add_stretches(const DotArgs& all, const DotKernel& dot, float* panel) {
  const int64_t stretch = stretch_of(dot);
  DotArgs args = all;
  args.source = DotArgs::Source::panel;
  args.dtype = DType::f32;
  args.weights = std::as_bytes(std::span(panel, static_cast<size_t>(panel_floats(dot)))).data();
  args.weight_stride = stretch * static_cast<int64_t>(sizeof(float));
  for (int64_t first = 0; first < all.inputs; first += stretch) {
    args.x = all.x + first;
    args.inputs = std::min(stretch, all.inputs - first);
    decode_panel(all, dot, first, args.inputs, panel);
    dot.add(args);
  }
}

void run_window(const MatmulArgs& args, const Window& window, const DotKernel& dot) {
  float* panel = args.scratch;
  float* parts = args.scratch + panel_floats(dot);
  const int64_t row_parts = kDotOutputs * dot.lanes;
  std::fill_n(parts, window.rows * row_parts, 0.0f);
  const DotArgs all = dot_args(args, window, parts);
  if (window.rows <= kFewRows && is_float(all.dtype)) {
    dot.add(all);
  } else {
    add_stretches(all, dot, panel);
  }
  for (int64_t r = 0; r < window.rows; ++r) {
    float sums[kDotOutputs];
    dot.finish(parts + r * row_parts, sums);
    finish_outputs(args, window.first_row + r, window.first, window.count, sums);
  }
}

}  // namespace

int64_t stored_scratch_floats(const DotKernel& dot, int64_t rows) {
  return panel_floats(dot) + std::min(rows, kRowBlock) * kDotOutputs * dot.lanes;
}

void run_stored(const MatmulArgs& args, const DotKernel& dot) {
  const int64_t last_row = args.first_row + args.rows;
  for (int64_t row = args.first_row; row < last_row; row += kRowBlock) {
    for (int64_t first = args.first; first < args.last; first += kDotOutputs) {
      run_window(args,
                 {.first_row = row,
                  .rows = std::min(kRowBlock, last_row - row),
                  .first = first,
                  .count = std::min(kDotOutputs, args.last - first)},
                 dot);
    }
  }
}

}  // namespace qvl
