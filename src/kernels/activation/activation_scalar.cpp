// The reference pointwise functions, computed as written.
#include <cmath>
#include <numbers>

#include "kernels/activation/activation.h"

namespace qvl {
namespace {

void gelu_tanh(float* x, int64_t count) {
  constexpr float scale = 0.7978845608028654f;  // sqrt(2 / pi)
  for (int64_t i = 0; i < count; ++i) {
    const float z = x[i];
    x[i] = 0.5f * z * (1.0f + std::tanh(scale * (z + 0.044715f * z * z * z)));
  }
}

void gelu_erf(float* x, int64_t count) {
  constexpr float scale = 1.0f / std::numbers::sqrt2_v<float>;
  for (int64_t i = 0; i < count; ++i) x[i] = 0.5f * x[i] * (1.0f + std::erf(x[i] * scale));
}

void silu_multiply(float* gate, const float* up, int64_t count) {
  for (int64_t i = 0; i < count; ++i) gate[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
}

void add(float* x, const float* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) x[i] += y[i];
}

void multiply(const float* x, const float* y, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = x[i] * y[i];
}

}  // namespace

const ActivationKernels kScalarActivations = {gelu_tanh, gelu_erf, silu_multiply, add, multiply};

const ActivationKernels& activation_kernels(Isa isa) {
  static constexpr IsaRow<const ActivationKernels*> kList[] = {{Isa::scalar, &kScalarActivations},
                                                               {Isa::avx2, &kAvx2Activations}};
  return *entry_for(kList, isa);
}

}  // namespace qvl
