// Kernels made usable: shapes checked, work split over the compute pool, scratch owned.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/matmul/packed_weight.h"
#include "tensor/tensor.h"
#include "threads/thread_pool.h"

namespace qvl {

/// Cosines and sines of the rotation of each token. [tokens, head_dim / 2] each
struct RotaryTable {
  Tensor cos, sin;
};

/// y = x * weight^T + bias
struct LinearArgs {
  const float* x;  // [rows, weight->inputs]
  int64_t rows;
  const PackedWeight* weight;
  std::span<const float> bias;  // [weight->outputs], or empty
  float* y;                     // [rows, weight->outputs]
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

/// The operations of the network on one compute pool. Thread-compatible: one operation at a time. Results do
/// not depend on the number of threads, nor on how many rows are computed together.
class Ops {
 public:
  explicit Ops(ThreadPool& pool);

  void linear(const LinearArgs& args);
  void rms_norm(const RmsNormArgs& args);
  void layer_norm(const LayerNormOpArgs& args);
  /// Rotates x in place. x: [tokens, heads, head_dim], rows `stride` apart.
  void rope(float* x, int64_t heads, int64_t stride, const RotaryTable& table);
  void attention(const AttentionArgs& args);
  void gelu_tanh(std::span<float> x);
  void gelu_erf(std::span<float> x);
  /// gate = silu(gate) * up
  void silu_multiply(std::span<float> gate, std::span<const float> up);
  /// x += y
  void add(std::span<float> x, std::span<const float> y);

 private:
  void each_row(int64_t rows, int64_t width, const std::function<void(int64_t)>& body);
  void each_share(int64_t count, const std::function<void(int64_t, int64_t)>& body);
  void reserve_scratch(int64_t floats);

  ThreadPool& pool_;
  std::vector<std::vector<float>> scratch_;  // per worker
};

}  // namespace qvl
