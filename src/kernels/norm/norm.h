// Normalisation of rows.
#pragma once

#include <cstdint>

#include "kernels/isa.h"

namespace qvl {

struct LayerNormArgs {
  const float* weight;  // [count]
  const float* bias;    // [count]
  double eps;
};

/// The functions of one instruction set. x, y: [count]; x may be y.
struct NormKernels {
  /// y = weight * x / sqrt(mean(x^2) + eps)
  void (*rms_norm)(const float* x, int64_t count, const float* weight, double eps, float* y);
  /// y = weight * (x - mean) / sqrt(variance + eps) + bias, the variance biased.
  void (*layer_norm)(const float* x, int64_t count, const LayerNormArgs& args, float* y);
};

extern const NormKernels kScalarNorms, kAvx2Norms;
const NormKernels& norm_kernels(Isa isa);

}  // namespace qvl
