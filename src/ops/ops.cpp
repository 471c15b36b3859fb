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

size_t unsign(int64_t count) {
  QVL_CHECK(count >= 0);
  return static_cast<size_t>(count);
}

void grow(Tensor& tensor, int64_t floats) { tensor.resize(1, unsign(floats)); }

}  // namespace

Ops::Ops(ThreadPool& pool, Isa isa) : pool_(pool), isa_(isa), worker_scratch_(unsign(pool.size())) {
  QVL_CHECK(supported(isa));
}

void Ops::reserve_worker_scratch(int64_t floats) {
  // The pool may have grown since the last step.
  worker_scratch_.resize(std::max(worker_scratch_.size(), unsign(pool_.size())));
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

// Quantises what row(index, scratch) returns, scaled for the reader, for each row.
LinearInput Ops::quantised_rows(int64_t rows, const PackedWeight& reader,
                                FunctionRef<const float*(int64_t, float*)> row) {
  QVL_CHECK(reader.input_scale != nullptr);
  const int64_t inputs = reader.inputs;
  const QuantisedRows& out = quantised_.shape(rows, inputs, reader.rest_rule, sum_bound(reader.form));
  reserve_worker_scratch(inputs);
  const QuantiseRow quantise = quantise_row(isa_);
  const auto multiply = activation_kernels(isa_).multiply;
  each_row(rows, inputs, [&](int64_t r, int worker) {
    float* scaled = worker_scratch(worker);
    multiply(row(r, scaled), reader.input_scale, inputs, scaled);
    quantise(scaled, r, out);
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

void Ops::linear(const LinearInput& input, const LinearArgs& args) {
  int64_t outputs = 0;
  for (const PackedWeight& weight : args.weights) outputs += weight.outputs;
  QVL_CHECK(args.bias.empty() || args.bias.size() == unsign(outputs));
  int64_t first = 0;
  for (const PackedWeight& weight : args.weights) {
    multiply(input, {.weight = weight,
                     .bias = args.bias.empty() ? nullptr : args.bias.data() + first,
                     .y = args.y + first,
                     .y_stride = outputs,
                     .epilogue = args.epilogue});
    first += weight.outputs;
  }
}

void Ops::multiply(const LinearInput& input, const Product& product) {
  const PackedWeight& weight = product.weight;
  QVL_CHECK(input.inputs == weight.inputs);
  QVL_CHECK((weight.form == WeightForm::stored ? input.x != nullptr : input.quantised_x != nullptr));
  const MatmulKernel& kernel = *weight.kernel;
  reserve_worker_scratch(kernel.scratch_floats(weight, input.rows));
  const int64_t unit = input.rows <= few_rows ? kernel.output_block : product_outputs;
  const int64_t grain = input.rows <= few_rows ? streamed_outputs / unit : 1;
  pool_.parallel_for(unsign((weight.outputs + unit - 1) / unit), unsign(grain),
                     [&](size_t begin, size_t end, int worker) {
                       kernel.run({.weight = &weight,
                                   .x = input.x,
                                   .quantised_x = input.quantised_x,
                                   .rows = input.rows,
                                   .first = static_cast<int64_t>(begin) * unit,
                                   .last = std::min(static_cast<int64_t>(end) * unit, weight.outputs),
                                   .bias = product.bias,
                                   .y = product.y,
                                   .y_stride = product.y_stride,
                                   .epilogue = product.epilogue,
                                   .scratch = worker_scratch(worker)});
                     });
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
  // A block begins as zeros: attention multiplies the places behind its last key by zero, and there must be
  // no NaN by chance. Memory of blocks that never begin is not touched.
  const int64_t first_block = (rows.first + kBlockKeys - 1) / kBlockKeys;
  const int64_t end_block = (rows.first + rows.tokens + kBlockKeys - 1) / kBlockKeys;
  for (int64_t head = 0; head < rows.kv_heads; ++head) {
    for (int64_t block = first_block; block < end_block; ++block) {
      std::fill_n(blocks.block(head, block), blocks.layout().bytes(), std::byte{0});
    }
  }
  each_row(rows.tokens, 8 * rows.kv_heads * blocks.width, [&](int64_t token, int) {
    for (int64_t head = 0; head < rows.kv_heads; ++head) {
      const int64_t at = token * rows.stride + head * blocks.width;
      write_kv_entry(blocks,
                     {.head = head, .token = rows.first + token, .key = rows.k + at, .value = rows.v + at});
    }
  });
}

}  // namespace qvl
