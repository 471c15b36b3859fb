// Pointwise functions of the network.
#pragma once

#include <cstdint>

namespace qvl {

/// x = 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))): the vision blocks.
void gelu_tanh_scalar(float* x, int64_t count);
/// x = 0.5 x (1 + erf(x / sqrt(2))): the mergers.
void gelu_erf_scalar(float* x, int64_t count);
/// gate = gate / (1 + exp(-gate)) * up: the decoder's MLP.
void silu_multiply_scalar(float* gate, const float* up, int64_t count);
/// x += y
void add_scalar(float* x, const float* y, int64_t count);

}  // namespace qvl
