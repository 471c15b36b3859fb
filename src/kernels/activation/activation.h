// Pointwise functions of the network.
#pragma once

#include <cstdint>

#include "kernels/isa.h"

namespace qvl {

/// The functions of one instruction set. A value's result does not depend on its place or its neighbours.
struct ActivationKernels {
  /// x = 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))): the vision blocks.
  void (*gelu_tanh)(float* x, int64_t count);
  /// x = 0.5 x (1 + erf(x / sqrt(2))): the mergers.
  void (*gelu_erf)(float* x, int64_t count);
  /// gate = gate / (1 + exp(-gate)) * up: the decoder's MLP.
  void (*silu_multiply)(float* gate, const float* up, int64_t count);
  /// x += y
  void (*add)(float* x, const float* y, int64_t count);
  /// out = x * y; out may be x.
  void (*multiply)(const float* x, const float* y, int64_t count, float* out);
};

extern const ActivationKernels kScalarActivations, kAvx2Activations;
const ActivationKernels& activation_kernels(Isa isa);

}  // namespace qvl
