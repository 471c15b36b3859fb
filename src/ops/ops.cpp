// Splits each operation over the pool in shares that do not change its result.
#include "ops/ops.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/activation/activation.h"
#include "kernels/norm/norm.h"
#include "kernels/rope/rope.h"

namespace qvl {
namespace {

constexpr int64_t share_values =
    16'384;  // values per claimed share of cheap work: above the cost of claiming it
constexpr int64_t attention_rows = 32;  // query rows per claimed share

size_t unsign(int64_t count) {
  QVL_CHECK(count >= 0);
  return static_cast<size_t>(count);
}

}  // namespace

Ops::Ops(ThreadPool& pool) : pool_(pool), scratch_(static_cast<size_t>(pool.size())) {}

void Ops::reserve_scratch(int64_t floats) {
  for (auto& buffer : scratch_) {
    if (buffer.size() < unsign(floats)) buffer.resize(unsign(floats));
  }
}

void Ops::each_row(int64_t rows, int64_t width, const std::function<void(int64_t)>& body) {
  const size_t grain = unsign(std::max<int64_t>(1, share_values / std::max<int64_t>(width, 1)));
  pool_.parallel_for(unsign(rows), grain, [&](size_t begin, size_t end, int) {
    for (size_t row = begin; row < end; ++row) body(static_cast<int64_t>(row));
  });
}

void Ops::each_share(int64_t count, const std::function<void(int64_t, int64_t)>& body) {
  pool_.parallel_for(unsign(count), share_values, [&](size_t begin, size_t end, int) {
    body(static_cast<int64_t>(begin), static_cast<int64_t>(end - begin));
  });
}

void Ops::linear(const LinearArgs& args) {
  const PackedWeight& weight = *args.weight;
  QVL_CHECK(args.bias.empty() || args.bias.size() == unsign(weight.outputs));
  const MatmulKernel& kernel = *weight.kernel;
  reserve_scratch(kernel.scratch_floats(weight));
  const int64_t blocks = (weight.outputs + kernel.output_block - 1) / kernel.output_block;
  pool_.parallel_for(unsign(blocks), 1, [&](size_t begin, size_t end, int worker) {
    kernel.run({.weight = &weight,
                .x = args.x,
                .rows = args.rows,
                .first = static_cast<int64_t>(begin) * kernel.output_block,
                .last = std::min(static_cast<int64_t>(end) * kernel.output_block, weight.outputs),
                .bias = args.bias.empty() ? nullptr : args.bias.data(),
                .y = args.y,
                .scratch = scratch_[static_cast<size_t>(worker)].data()});
  });
}

void Ops::rms_norm(const RmsNormArgs& args) {
  const auto width = static_cast<int64_t>(args.weight.size());
  each_row(args.rows, width, [&](int64_t row) {
    rms_norm_scalar(args.x + row * width, width, args.weight.data(), args.eps, args.y + row * width);
  });
}

void Ops::layer_norm(const LayerNormOpArgs& args) {
  QVL_CHECK(args.weight.size() == args.bias.size());
  const auto width = static_cast<int64_t>(args.weight.size());
  const LayerNormArgs norm = {args.weight.data(), args.bias.data(), args.eps};
  each_row(args.rows, width,
           [&](int64_t row) { layer_norm_scalar(args.x + row * width, width, norm, args.y + row * width); });
}

void Ops::rope(float* x, int64_t heads, int64_t stride, const RotaryTable& table) {
  const auto half = static_cast<int64_t>(table.cos.columns());
  each_row(static_cast<int64_t>(table.cos.rows()), heads * half * 2, [&](int64_t token) {
    const auto row = static_cast<uint64_t>(token);
    for (int64_t head = 0; head < heads; ++head) {
      rope_scalar(x + token * stride + head * half * 2, half, table.cos.row(row), table.sin.row(row));
    }
  });
}

void Ops::attention(const AttentionArgs& args) {
  QVL_CHECK(args.kv_heads > 0 && args.heads % args.kv_heads == 0);
  QVL_CHECK(args.mask == AttentionArgs::Mask::none || args.keys >= args.first + args.queries);
  reserve_scratch(args.keys);
  const int64_t blocks = (args.queries + attention_rows - 1) / attention_rows;
  pool_.parallel_for(unsign(blocks * args.heads), 1, [&](size_t begin, size_t end, int worker) {
    for (size_t share = begin; share < end; ++share) {
      const int64_t first = static_cast<int64_t>(share) / args.heads * attention_rows;
      attention_scalar(args,
                       {.head = static_cast<int64_t>(share) % args.heads,
                        .begin = first,
                        .end = std::min(first + attention_rows, args.queries)},
                       scratch_[static_cast<size_t>(worker)].data());
    }
  });
}

void Ops::gelu_tanh(std::span<float> x) {
  each_share(std::ssize(x), [&](int64_t i, int64_t count) { gelu_tanh_scalar(x.data() + i, count); });
}

void Ops::gelu_erf(std::span<float> x) {
  each_share(std::ssize(x), [&](int64_t i, int64_t count) { gelu_erf_scalar(x.data() + i, count); });
}

void Ops::silu_multiply(std::span<float> gate, std::span<const float> up) {
  QVL_CHECK(gate.size() == up.size());
  each_share(std::ssize(gate),
             [&](int64_t i, int64_t count) { silu_multiply_scalar(gate.data() + i, up.data() + i, count); });
}

void Ops::add(std::span<float> x, std::span<const float> y) {
  QVL_CHECK(x.size() == y.size());
  each_share(std::ssize(x), [&](int64_t i, int64_t count) { add_scalar(x.data() + i, y.data() + i, count); });
}

}  // namespace qvl
