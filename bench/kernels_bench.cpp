// Every kernel of the lists alone, one thread: products in GOP/s, attention and the pointwise ones per value.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/activation/activation.h"
#include "kernels/attention/blocked_attention.h"
#include "kernels/matmul/packed_weight.h"
#include "kernels/norm/norm.h"
#include "kernels/quantise/quantise.h"
#include "ops/quantised_buffer.h"
#include "ops/weight_packer.h"

namespace qvl {
namespace {

std::vector<float> random_values(int64_t count) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> out(static_cast<size_t>(count));
  for (float& value : out) value = normal(random);
  return out;
}

void count_rate(benchmark::State& state, const char* name, double each) {
  state.counters[name] =
      benchmark::Counter(each * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

// Where a kernel finds its rows in an answer: aligned to a line of the caches.
Tensor random_tensor(int64_t rows, int64_t columns) {
  Tensor out(static_cast<uint64_t>(rows), static_cast<uint64_t>(columns));
  std::ranges::copy(random_values(rows * columns), out.data());
  return out;
}

std::vector<std::byte> encoded(std::span<const float> values, DType dtype) {
  std::vector<std::byte> out(std::as_bytes(values).begin(), std::as_bytes(values).end());
  if (dtype == DType::f32) return out;
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t bits = f32_to_bf16(values[i]);
    std::memcpy(out.data() + i * sizeof bits, &bits, sizeof bits);
  }
  out.resize(values.size() * sizeof(uint16_t));
  return out;
}

struct MatmulSize {
  DType dtype;  // of the weights, f32 or bf16
  int64_t rows, outputs;
};

void matmul(benchmark::State& state, const MatmulKernel& kernel, const MatmulSize& size) {
  const auto [dtype, rows, outputs] = size;
  const int64_t inputs = 2048;
  const Tensor w = random_tensor(outputs, inputs), x = random_tensor(rows, inputs);
  const auto bytes = encoded(w.values(), dtype);
  const TensorView view{.dtype = dtype,
                        .shape = {static_cast<uint64_t>(outputs), static_cast<uint64_t>(inputs)},
                        .bytes = bytes};
  ThreadPool pool(1);
  WeightPacker packer(kernel.isa, 64 << 20);
  const PackedWeight weight =
      kernel.form == WeightForm::stored ? stored_weight(view, kernel.isa) : packer.add({view}, kernel.form);
  packer.pack(pool, {});
  QuantisedBuffer buffer;
  const QuantisedRows& quantised = buffer.shape(rows, inputs);
  for (int64_t r = 0; r < rows; ++r) quantise_row(kernel.isa)(x.data() + r * inputs, r, quantised);
  Tensor y(static_cast<uint64_t>(rows), static_cast<uint64_t>(outputs));
  Tensor scratch(1, static_cast<uint64_t>(kernel.scratch_floats(weight, rows)));
  for (auto _ : state) {
    kernel.run({.weight = &weight,
                .x = x.data(),
                .quantised_x = &quantised,
                .first_row = 0,
                .rows = rows,
                .first = 0,
                .last = outputs,
                .bias = nullptr,
                .y = y.data(),
                .y_stride = outputs,
                .epilogue = Epilogue::assign,
                .scratch = scratch.data()});
    benchmark::DoNotOptimize(y.data());
  }
  count_rate(state, "op/s", 2.0 * static_cast<double>(rows * outputs * inputs));
  count_rate(state, "B/s", static_cast<double>(weight.bytes()));
}

// Where the blocks of a head lie: one after another, or each in a page of its own, in no order.
enum class Lying { one_piece, pages };

struct AttentionSize {
  KvInteger integer;
  int64_t width, keys, rows;
  Lying lying = Lying::one_piece;
};

// Where blocks of `bytes` lie that are read in a random order.
std::vector<std::byte*> shuffled(std::vector<std::byte>& memory, int64_t bytes) {
  std::vector<std::byte*> table;
  for (int64_t at = 0; at < std::ssize(memory); at += bytes) table.push_back(memory.data() + at);
  std::shuffle(table.begin(), table.end(), std::mt19937(1));
  return table;
}

void attention(benchmark::State& state, Isa isa, const AttentionSize& size) {
  const auto [integer, width, keys, rows, lying] = size;
  const auto values = random_values(std::max(keys, rows) * width);
  std::vector<std::byte> memory(
      static_cast<size_t>((keys + kBlockKeys - 1) / kBlockKeys * KvBlockLayout{width, integer}.bytes()));
  const auto table = shuffled(memory, KvBlockLayout{width, integer}.bytes());
  const KvBlocks kv{.data = memory.data(),
                    .head_stride = static_cast<int64_t>(memory.size()),
                    .width = width,
                    .integer = integer,
                    .pages = lying == Lying::pages ? table.data() : nullptr};
  for (int64_t t = 0; t < keys; ++t) {
    const float* row = values.data() + t * width;
    write_kv_entry(kv, {.head = 0, .token = t, .key = row, .value = row}, kv_rounding(isa));
  }
  std::vector<float> out(static_cast<size_t>(rows * width));
  const BlockedAttentionArgs args = {
      values.data(), kv, out.data(), rows, keys, 0, 1, 1, width, AttentionArgs::Mask::none};
  for (auto _ : state) {
    blocked_attention(isa)(args, {.kv_head = 0, .begin = 0, .end = rows});
    benchmark::DoNotOptimize(out.data());
  }
  count_rate(state, "op/s", 4.0 * static_cast<double>(rows * keys * width));
}

template <typename Function>
void each_value(benchmark::State& state, int64_t count, Function function) {
  auto x = random_values(count), y = random_values(count);
  for (auto _ : state) {
    function(x.data(), y.data());
    benchmark::DoNotOptimize(x.data());
  }
  count_rate(state, "values/s", static_cast<double>(count));
}

void add_rowwise(Isa isa, const std::string& name) {
  constexpr int64_t count = 2048;
  const auto add = [&](const std::string& what, auto function) {
    benchmark::RegisterBenchmark((what + "/" + name).c_str(),
                                 [function](benchmark::State& state) { each_value(state, count, function); });
  };
  const ActivationKernels& pointwise = activation_kernels(isa);
  const NormKernels& norms = norm_kernels(isa);
  add("gelu_tanh", [&](float* x, float*) { pointwise.gelu_tanh(x, count); });
  add("gelu_erf", [&](float* x, float*) { pointwise.gelu_erf(x, count); });
  add("silu_multiply", [&](float* x, float* y) { pointwise.silu_multiply(x, y, count); });
  add("multiply", [&](float* x, float* y) { pointwise.multiply(x, y, count, x); });
  add("add", [&](float* x, float* y) { pointwise.add(x, y, count); });
  add("rms_norm", [&](float* x, float* y) { norms.rms_norm(x, count, y, 1e-6, x); });
  add("layer_norm", [&](float* x, float* y) { norms.layer_norm(x, count, {y, y, 1e-6}, x); });
  add("quantise", [isa](float* x, float*) {
    static QuantisedBuffer buffer;
    quantise_row(isa)(x, 0, buffer.shape(1, count));
  });
}

void add_attention(Isa isa, const std::string& name, const std::string& ending, const AttentionSize& size) {
  benchmark::RegisterBenchmark(("attention/" + name + ending).c_str(),
                               [isa, size](benchmark::State& state) { attention(state, isa, size); });
}

void add_matmul(const MatmulKernel& kernel, const std::string& ending, const MatmulSize& size) {
  const std::string name =
      "matmul/" + std::string(kernel.name) + "/rows:" + std::to_string(size.rows) + ending;
  benchmark::RegisterBenchmark(name.c_str(),
                               [&kernel, size](benchmark::State& state) { matmul(state, kernel, size); });
}

const bool registered = [] {
  for (const MatmulKernel& kernel : matmul_kernels()) {
    if (!supported(kernel.isa)) continue;
    for (int64_t rows : {1, 8, 512}) {
      add_matmul(kernel, "", {DType::f32, rows, 1024});
      if (kernel.form != WeightForm::stored) continue;
      add_matmul(kernel, "/bf16", {DType::bf16, rows, 1024});
      // More than caches hold.
      if (rows <= 8) add_matmul(kernel, "/bf16/outputs:32768", {DType::bf16, rows, 32'768});
    }
  }
  for (Isa isa : all_isas()) {
    if (!supported(isa)) continue;
    const std::string name(name_of(isa));
    add_attention(isa, name, "/width:64/keys:1024/rows:64", {KvInteger::i16, 64, 1024, 64});
    add_attention(isa, name, "/width:128/keys:1024/rows:1", {KvInteger::i16, 128, 1024, 1});
    // Two and 32 rows: an answer and a prompt of 2B, over more keys than caches hold.
    for (int64_t rows : {2, 32}) {
      const std::string ending = "/width:128/keys:131072/rows:" + std::to_string(rows);
      for (const KvInteger integer : {KvInteger::i16, KvInteger::i8}) {
        const std::string form = integer == KvInteger::i8 ? "/int8" : "";
        add_attention(isa, name, ending + form, {integer, 128, 131'072, rows});
        add_attention(isa, name, ending + form + "/pages", {integer, 128, 131'072, rows, Lying::pages});
      }
    }
    add_rowwise(isa, name);
  }
  return true;
}();

}  // namespace
}  // namespace qvl
