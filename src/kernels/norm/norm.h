// Normalisation of rows.
#pragma once

#include <cstdint>

namespace qvl {

/// y = weight * x / sqrt(mean(x^2) + eps). x, y: [count]; x may be y.
void rms_norm_scalar(const float* x, int64_t count, const float* weight, double eps, float* y);

struct LayerNormArgs {
  const float* weight;  // [count]
  const float* bias;    // [count]
  double eps;
};
/// y = weight * (x - mean) / sqrt(variance + eps) + bias, the variance biased. x, y: [count]; x may be y.
void layer_norm_scalar(const float* x, int64_t count, const LayerNormArgs& args, float* y);

}  // namespace qvl
