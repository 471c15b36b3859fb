// Splits each operation over the pool in shares that do not change its result.
#include "ops/ops.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/activation/activation.h"
#include "kernels/norm/norm.h"
#include "kernels/quantise/quantise.h"
#include "kernels/rope/rope.h"

namespace qvl {
namespace {

constexpr int64_t share_values =
    16'384;  // values per claimed share of cheap work: above the cost of claiming it
constexpr int64_t attention_rows = 32;  // query rows per claimed share
// A product with many rows is claimed by 64 outputs, which keep a share busy for long; one with few rows by
// up to 256 of them, whose weights are one long stream of memory, and by one panel towards its end.
constexpr int64_t product_outputs = 64, streamed_outputs = 256, few_rows = 8;
constexpr int64_t line_floats = 16;  // in a line of the caches

size_t unsign(int64_t count) {
  QVL_CHECK(count >= 0);
  return static_cast<size_t>(count);
}

void grow(Tensor& tensor, int64_t floats) { tensor.resize(1, unsign(floats)); }

}  // namespace

Ops::Ops(ThreadPool& pool, Isa isa, MemoryHome memory)
    : pool_(pool),
      isa_(isa),
      memory_(memory.with(MemoryPart::scratch)),
      quantised_(memory.with(MemoryPart::scratch)) {
  QVL_CHECK(supported(isa));
  for (Tensor& slot : slots_) slot = Tensor(memory_);
}

void Ops::release_scratch() {
  for (Tensor& slot : slots_) slot.clear();
  worker_scratch_.clear();
  quantised_.clear();
}

void Ops::reserve_worker_scratch(int64_t floats) {
  // The pool may have grown since the last step.
  while (worker_scratch_.size() < unsign(pool_.size())) worker_scratch_.emplace_back(memory_);
  for (Tensor& scratch : worker_scratch_) grow(scratch, floats);
}

float* Ops::worker_scratch(int worker) { return worker_scratch_[static_cast<size_t>(worker)].data(); }

float* Ops::scratch(Slot slot, int64_t floats) {
  Tensor& tensor = slots_[static_cast<size_t>(slot)];
  grow(tensor, floats);
  return tensor.data();
}

void Ops::each_row(int64_t rows, int64_t width, RowBody body) {
  const size_t grain = unsign(std::max<int64_t>(1, share_values / std::max<int64_t>(width, 1)));
  pool_.parallel_for(unsign(rows), grain, [&](size_t begin, size_t end, int worker) {
    for (size_t row = begin; row < end; ++row) body(static_cast<int64_t>(row), worker);
  });
}

// Puts the inputs whose columns are repeated behind the others. scaled: [reader.columns()]
void Ops::repeat_inputs(const PackedWeight& reader, float* scaled) {
  const auto repeated = reader.repeated_inputs();
  if (repeated.empty()) return;
  float* behind = scaled + groups_of(reader.inputs) * kGroup;
  std::fill(scaled + reader.inputs, behind, 0.0f);
  for (size_t i = 0; i < repeated.size(); ++i) behind[i] = scaled[repeated[i]];
}

// Quantises what row(index, scratch) returns, scaled for the reader, for each row.
LinearInput Ops::quantised_rows(int64_t rows, const PackedWeight& reader,
                                FunctionRef<const float*(int64_t, float*)> row) {
  QVL_CHECK(reader.input_scale != nullptr);
  const int64_t inputs = reader.inputs, columns = reader.columns();
  const QuantisedRows& out = quantised_.shape(rows, columns, reader.rest_rule, sum_bound(reader.form));
  reserve_worker_scratch(columns);
  const QuantiseRow quantise = quantise_row(isa_);
  const auto multiply = activation_kernels(isa_).multiply;
  // Most weights need no scaling; with few rows finding that out takes as long as scaling.
  const bool scaling =
      rows <= few_rows || columns != inputs ||
      std::any_of(reader.input_scale, reader.input_scale + inputs, [](float scale) { return scale != 1.0f; });
  each_row(rows, inputs, [&](int64_t r, int worker) {
    float* scratch = worker_scratch(worker);
    const float* x = row(r, scratch);
    if (scaling) {
      multiply(x, reader.input_scale, inputs, scratch);
      repeat_inputs(reader, scratch);
      x = scratch;
    }
    quantise(x, r, out);
  });
  return {.x = nullptr, .quantised_x = &out, .rows = rows, .inputs = inputs};
}

LinearInput Ops::input(const float* x, int64_t rows, const PackedWeight& reader) {
  if (reader.form == WeightForm::stored) {
    return {.x = x, .quantised_x = nullptr, .rows = rows, .inputs = reader.inputs};
  }
  return quantised_rows(rows, reader, [&](int64_t r, float*) { return x + r * reader.inputs; });
}

LinearInput Ops::rms_norm_input(const RmsNormArgs& args, const PackedWeight& reader) {
  const auto width = static_cast<int64_t>(args.weight.size());
  QVL_CHECK(width == reader.inputs);
  if (reader.form == WeightForm::stored) {
    rms_norm(args);
    return input(args.y, args.rows, reader);
  }
  return quantised_rows(args.rows, reader, [&](int64_t r, float* scratch) {
    norm_kernels(isa_).rms_norm(args.x + r * width, width, args.weight.data(), args.eps, scratch);
    return scratch;
  });
}

LinearInput Ops::layer_norm_input(const LayerNormOpArgs& args, const PackedWeight& reader) {
  const auto width = static_cast<int64_t>(args.weight.size());
  QVL_CHECK(width == reader.inputs && args.weight.size() == args.bias.size());
  if (reader.form == WeightForm::stored) {
    layer_norm(args);
    return input(args.y, args.rows, reader);
  }
  const LayerNormArgs norm = {args.weight.data(), args.bias.data(), args.eps};
  return quantised_rows(args.rows, reader, [&](int64_t r, float* scratch) {
    norm_kernels(isa_).layer_norm(args.x + r * width, width, norm, scratch);
    return scratch;
  });
}

LinearInput Ops::silu_input(float* gate_up, int64_t rows, const PackedWeight& reader) {
  const int64_t inputs = reader.inputs;
  const auto silu = [&](int64_t r, float*) -> const float* {
    float* gate = gate_up + r * 2 * inputs;
    activation_kernels(isa_).silu_multiply(gate, gate + inputs, inputs);
    return gate;
  };
  if (reader.form != WeightForm::stored) return quantised_rows(rows, reader, silu);
  each_row(rows, inputs, [&](int64_t r, int) { silu(r, nullptr); });
  // Rows move together: each lands at or before where it is, so in order none is overwritten unread.
  for (int64_t r = 1; r < rows; ++r) {
    std::copy_n(gate_up + r * 2 * inputs, inputs, gate_up + r * inputs);
  }
  return input(gate_up, rows, reader);
}

// How a product is cut: into units of outputs, and rows.
struct Ops::Cut {
  int64_t rows, row_units, outputs;

  static Cut of(const PackedWeight& weight, int64_t rows) {
    const MatmulKernel& kernel = *weight.kernel;
    const int64_t height = std::min(rows, kernel.row_block);
    return {.rows = height,
            .row_units = (rows + height - 1) / height,
            .outputs = rows <= few_rows ? kernel.output_block : product_outputs};
  }
  int64_t output_units(const PackedWeight& weight) const { return (weight.outputs + outputs - 1) / outputs; }
  int64_t units(const PackedWeight& weight) const { return output_units(weight) * row_units; }
};

// All weights in one loop: their units follow each other, so that threads meet once.
void Ops::linear(const LinearInput& input, const LinearArgs& args) {
  int64_t units = 0, outputs = 0;
  for (const PackedWeight& weight : args.weights) {
    QVL_CHECK(input.inputs == weight.inputs);
    QVL_CHECK((weight.form == WeightForm::stored ? input.x != nullptr : input.quantised_x != nullptr));
    reserve_worker_scratch(weight.kernel->scratch_floats(weight, input.rows));
    units += Cut::of(weight, input.rows).units(weight);
    outputs += weight.outputs;
  }
  QVL_CHECK(args.bias.empty() || args.bias.size() == unsign(outputs));
  if (units == 0) return;
  const int64_t unit = Cut::of(args.weights.front(), input.rows).outputs;
  const int64_t grain = input.rows <= few_rows ? streamed_outputs / unit : 1;
  pool_.parallel_for(unsign(units), unsign(grain), [&](size_t begin, size_t end, int worker) {
    int64_t first_unit = 0, first_output = 0;
    for (const PackedWeight& weight : args.weights) {
      const Product product = {.weight = weight,
                               .bias = args.bias.empty() ? nullptr : args.bias.data() + first_output,
                               .y = args.y + first_output,
                               .y_stride = outputs,
                               .epilogue = args.epilogue};
      const int64_t count = Cut::of(weight, input.rows).units(weight);
      const int64_t from = std::max<int64_t>(static_cast<int64_t>(begin) - first_unit, 0);
      const int64_t to = std::min(static_cast<int64_t>(end) - first_unit, count);
      if (from < to) multiply(input, product, {from, to}, worker_scratch(worker));
      first_unit += count;
      first_output += weight.outputs;
    }
  });
}

// Units [begin, end): the rows of some outputs, then those of the next, so that weights are read from memory
// once.
void Ops::multiply(const LinearInput& input, const Product& product, const Units& units, float* scratch) {
  const PackedWeight& weight = product.weight;
  const Cut cut = Cut::of(weight, input.rows);
  for (int64_t unit = units.begin; unit < units.end;) {
    const int64_t column = unit / cut.row_units, row = unit % cut.row_units * cut.rows;
    const int64_t left = units.end - unit;
    // Several outputs with all their rows, or several rows of some outputs.
    const int64_t columns = cut.row_units == 1 ? left : 1;
    const int64_t windows = cut.row_units == 1 ? 1 : std::min(left, cut.row_units - unit % cut.row_units);
    weight.kernel->run({.weight = &weight,
                        .x = input.x,
                        .quantised_x = input.quantised_x,
                        .first_row = row,
                        .rows = std::min(windows * cut.rows, input.rows - row),
                        .first = column * cut.outputs,
                        .last = std::min((column + columns) * cut.outputs, weight.outputs),
                        .bias = product.bias,
                        .y = product.y,
                        .y_stride = product.y_stride,
                        .epilogue = product.epilogue,
                        .scratch = scratch});
    unit += columns * windows;
  }
}

void Ops::rms_norm(const RmsNormArgs& args) {
  const auto width = static_cast<int64_t>(args.weight.size());
  each_row(args.rows, width, [&](int64_t row, int) {
    norm_kernels(isa_).rms_norm(args.x + row * width, width, args.weight.data(), args.eps,
                                args.y + row * width);
  });
}

void Ops::layer_norm(const LayerNormOpArgs& args) {
  QVL_CHECK(args.weight.size() == args.bias.size());
  const auto width = static_cast<int64_t>(args.weight.size());
  const LayerNormArgs norm = {args.weight.data(), args.bias.data(), args.eps};
  each_row(args.rows, width, [&](int64_t row, int) {
    norm_kernels(isa_).layer_norm(args.x + row * width, width, norm, args.y + row * width);
  });
}

void Ops::head_norm(float* x, const HeadRows& rows, std::span<const float> weight, double eps) {
  const auto width = static_cast<int64_t>(weight.size());
  each_row(rows.tokens, rows.heads * width, [&](int64_t token, int) {
    for (int64_t head = 0; head < rows.heads; ++head) {
      float* at = x + token * rows.stride + head * width;
      norm_kernels(isa_).rms_norm(at, width, weight.data(), eps, at);
    }
  });
}

void Ops::rope(float* x, int64_t heads, int64_t stride, const RotaryTable& table) {
  const auto half = static_cast<int64_t>(table.cos.columns());
  each_row(static_cast<int64_t>(table.cos.rows()), heads * half * 2, [&](int64_t token, int) {
    const auto row = static_cast<uint64_t>(token);
    for (int64_t head = 0; head < heads; ++head) {
      rope_scalar(x + token * stride + head * half * 2, half, table.cos.row(row), table.sin.row(row));
    }
  });
}

void Ops::attention(const AttentionArgs& args) {
  QVL_CHECK(args.kv_heads > 0 && args.heads % args.kv_heads == 0);
  QVL_CHECK(args.mask == AttentionArgs::Mask::none || args.keys >= args.first + args.queries);
  reserve_worker_scratch(args.keys);
  const int64_t blocks = (args.queries + attention_rows - 1) / attention_rows;
  pool_.parallel_for(unsign(blocks * args.heads), 1, [&](size_t begin, size_t end, int worker) {
    for (size_t share = begin; share < end; ++share) {
      const int64_t first = static_cast<int64_t>(share) / args.heads * attention_rows;
      attention_scalar(args,
                       {.head = static_cast<int64_t>(share) % args.heads,
                        .begin = first,
                        .end = std::min(first + attention_rows, args.queries)},
                       worker_scratch(worker));
    }
  });
}

void Ops::attention(const BlockedAttentionArgs& args) {
  QVL_CHECK(args.kv_heads > 0 && args.heads % args.kv_heads == 0);
  QVL_CHECK(args.kv.width % 2 == 0 && args.kv.width <= kMaxBlockedWidth);
  QVL_CHECK(args.mask == AttentionArgs::Mask::none || args.keys >= args.first + args.queries);
  const int64_t rows = args.queries * (args.heads / args.kv_heads);
  const int64_t blocks = (rows + attention_rows - 1) / attention_rows;
  const BlockedAttention run = blocked_attention(isa_);
  // Shares of one head follow each other, so that its keys stay in the cache.
  pool_.parallel_for(unsign(blocks * args.kv_heads), 1, [&](size_t begin, size_t end, int) {
    for (size_t share = begin; share < end; ++share) {
      const int64_t first = static_cast<int64_t>(share) % blocks * attention_rows;
      run(args, {.kv_head = static_cast<int64_t>(share) / blocks,
                 .begin = first,
                 .end = std::min(first + attention_rows, rows)});
    }
  });
}

void Ops::write_kv(const KvBlocks& blocks, const KvRows& rows) {
  // A block that is not filled at once begins as zeros: attention multiplies the places behind its last key
  // by zero, and there must be no NaN by chance. Memory of blocks that never begin is not touched.
  const int64_t end = rows.first + rows.tokens, last_block = end / kBlockKeys;
  if (end % kBlockKeys != 0 && last_block * kBlockKeys >= rows.first) {
    for (int64_t head = 0; head < rows.kv_heads; ++head) {
      std::fill_n(blocks.block(head, last_block), blocks.layout().bytes(), std::byte{0});
    }
  }
  // The tokens of a panel of keys, head by head: what they are scattered over stays in the first cache.
  const int64_t first_panel = rows.first / kKvPanel, panels = (end + kKvPanel - 1) / kKvPanel - first_panel;
  each_row(panels, 8 * kKvPanel * rows.kv_heads * blocks.width, [&](int64_t panel, int) {
    const int64_t first = std::max((first_panel + panel) * kKvPanel, rows.first);
    const int64_t last = std::min((first_panel + panel + 1) * kKvPanel, end);
    for (int64_t head = 0; head < rows.kv_heads; ++head) {
      for (int64_t token = first; token < last; ++token) {
        const int64_t at = (token - rows.first) * rows.stride + head * blocks.width;
        // The token's next head meanwhile: between two rows lie pages, which processors do not bridge.
        const int64_t next = head + 1 < rows.kv_heads ? at + blocks.width : at;
        for (int64_t i = next; i < next + blocks.width; i += line_floats) {
          __builtin_prefetch(rows.k + i);
          __builtin_prefetch(rows.v + i);
        }
        write_kv_entry(blocks, {.head = head, .token = token, .key = rows.k + at, .value = rows.v + at},
                       kv_rounding(isa_));
      }
    }
  });
}

}  // namespace qvl
