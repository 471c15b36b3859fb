// The reference normalisations; sums in float64, so that they are exact to the last bit of float32 or nearly.
#include <cmath>

#include "kernels/norm/norm.h"

namespace qvl {
namespace {

void rms_norm(const float* x, int64_t count, const float* weight, double eps, float* y) {
  double squares = 0;
  for (int64_t i = 0; i < count; ++i) squares += static_cast<double>(x[i]) * x[i];
  const auto scale = static_cast<float>(1.0 / std::sqrt(squares / static_cast<double>(count) + eps));
  for (int64_t i = 0; i < count; ++i) y[i] = weight[i] * (x[i] * scale);
}

void layer_norm(const float* x, int64_t count, const LayerNormArgs& args, float* y) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += x[i];
  const double mean = sum / static_cast<double>(count);
  double squares = 0;
  for (int64_t i = 0; i < count; ++i) squares += (x[i] - mean) * (x[i] - mean);
  const double scale = 1.0 / std::sqrt(squares / static_cast<double>(count) + args.eps);
  for (int64_t i = 0; i < count; ++i) {
    y[i] = static_cast<float>((x[i] - mean) * scale) * args.weight[i] + args.bias[i];
  }
}

}  // namespace

const NormKernels kScalarNorms = {rms_norm, layer_norm};

const NormKernels& norm_kernels(Isa isa) {
  static constexpr IsaRow<const NormKernels*> kList[] = {{Isa::scalar, &kScalarNorms},
                                                         {Isa::avx2, &kAvx2Norms}};
  return *entry_for(kList, isa);
}

}  // namespace qvl
