#include "tensor/dtype.h"

#include <array>

#include "base/checked.h"
#include "base/error.h"

namespace qvl {
namespace {

constexpr std::array<DTypeInfo, 8> table = {{
    {DType::f32, "F32", 1, 4},
    {DType::f16, "F16", 1, 2},
    {DType::bf16, "BF16", 1, 2},
    {DType::q8_0, "Q8_0", 32, 34},
    {DType::q4_0, "Q4_0", 32, 18},
    {DType::q4_k, "Q4_K", 256, 144},
    {DType::q5_k, "Q5_K", 256, 176},
    {DType::q6_k, "Q6_K", 256, 210},
}};

}  // namespace

const DTypeInfo& info(DType dtype) {
  const auto& row = table[static_cast<size_t>(dtype)];
  QVL_CHECK(row.dtype == dtype);
  return row;
}

std::optional<uint64_t> bytes_for(DType dtype, uint64_t count) {
  const DTypeInfo& type = info(dtype);
  if (count % type.weights_per_block != 0) return std::nullopt;
  return checked_mul(count / type.weights_per_block, type.bytes_per_block);
}

}  // namespace qvl
