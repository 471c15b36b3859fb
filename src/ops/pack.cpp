#include "ops/pack.h"

#include "base/error.h"
#include "kernels/matmul/matmul_scalar.h"

namespace qvl {

PackedWeight pack(const TensorView& view) {
  QVL_CHECK(view.shape.size() >= 2 && view.shape[0] > 0);
  const uint64_t inputs = view.elements() / view.shape[0];
  const auto row_bytes = bytes_for(view.dtype, inputs);
  QVL_CHECK(row_bytes.has_value() && view.bytes.size() == *row_bytes * view.shape[0]);
  return {.dtype = view.dtype,
          .outputs = static_cast<int64_t>(view.shape[0]),
          .inputs = static_cast<int64_t>(inputs),
          .data = view.bytes.data(),
          .row_bytes = *row_bytes,
          .kernel = &scalar_matmul()};
}

}  // namespace qvl
