// Kernels made usable: shapes checked, work split over the compute pool, scratch owned.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/function_ref.h"
#include "kernels/attention/attention.h"
#include "kernels/attention/blocked_attention.h"
#include "kernels/isa.h"
#include "kernels/matmul/packed_weight.h"
#include "memory/memory_home.h"
#include "ops/quantised_buffer.h"
#include "tensor/tensor.h"
#include "threads/thread_pool.h"

namespace qvl {

/// Cosines and sines of the rotation of each token. [tokens, head_dim / 2] each
struct RotaryTable {
  Tensor cos, sin;
};

/// Rows on their way into linear layers, in the form their weights read. Borrowed from Ops and the caller;
/// valid until the next input is made.
struct LinearInput {
  const float* x;                    // [rows, inputs], or null where only integers are wanted
  const QuantisedRows* quantised_x;  // null where floats are wanted
  int64_t rows, inputs;
};

/// y = epilogue(x * weights^T + bias), the outputs of several weights side by side
struct LinearArgs {
  std::span<const PackedWeight> weights;
  std::span<const float> bias;  // [all outputs], or empty
  float* y;                     // [rows, all outputs]
  Epilogue epilogue = Epilogue::assign;
};

/// Rows as wide as `weight`; x may be y.
struct RmsNormArgs {
  const float* x;
  int64_t rows;
  std::span<const float> weight;
  double eps;
  float* y;
};

/// Rows as wide as `weight`; x may be y.
struct LayerNormOpArgs {
  const float* x;
  int64_t rows;
  std::span<const float> weight, bias;
  double eps;
  float* y;
};

/// The operations of the network on one compute pool with the kernels of one instruction set.
/// Thread-compatible: one operation at a time. Results do not depend on the number of threads, nor on how
/// many rows are computed together. Scratch grows to what the largest operation needs and stays until it is
/// released: repeated operations allocate nothing. What needs more throws as MemoryHome::allocate.
class Ops {
 public:
  /// Scratch, and what callers keep of results, comes from the pool of `memory`.
  Ops(ThreadPool& pool, Isa isa, MemoryHome memory = {});

  Isa isa() const { return isa_; }
  ThreadPool& pool() { return pool_; }
  /// Where results that outlive an operation come from.
  MemoryHome memory(MemoryPart part) const { return memory_.with(part); }

  /// x: [rows, reader.inputs], in the form that `reader` reads; for it alone where it is quantised.
  LinearInput input(const float* x, int64_t rows, const PackedWeight& reader);
  /// The same of normalised rows; for stored weights `args.y` receives them, else it may be null.
  LinearInput rms_norm_input(const RmsNormArgs& args, const PackedWeight& reader);
  LinearInput layer_norm_input(const LayerNormOpArgs& args, const PackedWeight& reader);
  /// The same of silu(gate) * up, which overwrite gate. gate_up: [rows, 2 * inputs], a row of gate and one of
  /// up in turn.
  LinearInput silu_input(float* gate_up, int64_t rows, const PackedWeight& reader);
  void linear(const LinearInput& input, const LinearArgs& args);

  void rms_norm(const RmsNormArgs& args);
  void layer_norm(const LayerNormOpArgs& args);
  /// RMS norm of each head in place, one weight for all. x: [tokens, heads, weight.size()], rows stride apart
  struct HeadRows {
    int64_t heads, stride, tokens;
  };
  void head_norm(float* x, const HeadRows& rows, std::span<const float> weight, double eps);
  /// Rotates x in place. x: [tokens, heads, head_dim], rows `stride` apart.
  void rope(float* x, int64_t heads, int64_t stride, const RotaryTable& table);
  void attention(const AttentionArgs& args);
  void attention(const BlockedAttentionArgs& args);
  /// Writes `tokens` keys and values from token `first` on. k, v: [tokens, kv_heads, width], rows `stride`
  /// apart
  struct KvRows {
    const float* k;
    const float* v;
    int64_t tokens, first, kv_heads, stride;
  };
  void write_kv(const KvBlocks& blocks, const KvRows& rows);

  /// Scratch of the caller's, by purpose: at least `floats` values, contents undefined. Valid until the same
  /// slot is asked for more.
  enum class Slot { rows, wide, heads, features, kv_blocks, count };
  float* scratch(Slot slot, int64_t floats);
  /// Gives all scratch back, between two requests. Inputs and scratch handed out are gone.
  void release_scratch();

 private:
  using RowBody = FunctionRef<void(int64_t, int)>;
  void each_row(int64_t rows, int64_t width, RowBody body);
  static void repeat_inputs(const PackedWeight& reader, float* scaled);
  LinearInput quantised_rows(int64_t rows, const PackedWeight& reader,
                             FunctionRef<const float*(int64_t, float*)> row);
  struct Product {
    const PackedWeight& weight;
    const float* bias;
    float* y;
    int64_t y_stride;
    Epilogue epilogue;
  };
  struct Cut;
  struct Units {
    int64_t begin, end;
  };
  static void multiply(const LinearInput& input, const Product& product, const Units& units, float* scratch);
  void reserve_worker_scratch(int64_t floats);
  float* worker_scratch(int worker);

  ThreadPool& pool_;
  Isa isa_;
  MemoryHome memory_;
  std::vector<Tensor> worker_scratch_;
  std::array<Tensor, static_cast<size_t>(Slot::count)> slots_;
  QuantisedBuffer quantised_;
};

}  // namespace qvl
