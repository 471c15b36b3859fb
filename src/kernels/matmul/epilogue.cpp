#include "kernels/matmul/epilogue.h"

#include "kernels/activation/activation.h"

namespace qvl {

void finish_outputs(const MatmulArgs& args, int64_t row, int64_t first, int64_t count, float* sums) {
  const ActivationKernels& functions = activation_kernels(args.weight->kernel->isa);
  if (args.bias != nullptr) functions.add(sums, args.bias + first, count);
  if (args.epilogue == Epilogue::gelu_tanh) functions.gelu_tanh(sums, count);
  if (args.epilogue == Epilogue::gelu_erf) functions.gelu_erf(sums, count);
  float* y = args.y + row * args.y_stride + first;
  if (args.epilogue == Epilogue::add) {
    functions.add(y, sums, count);
  } else {
    __builtin_memcpy(y, sums, static_cast<size_t>(count) * sizeof(float));
  }
}

}  // namespace qvl
