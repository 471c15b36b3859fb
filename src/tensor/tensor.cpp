#include "tensor/tensor.h"

#include <fmt/ranges.h>

#include <new>

#include "base/checked.h"
#include "base/error.h"

namespace qvl {
namespace {
constexpr std::align_val_t alignment{64};  // a cache line, and the widest vector register
}

std::string to_string(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

uint64_t TensorView::elements() const {
  auto product = checked_product(shape);
  QVL_CHECK(product.has_value());  // readers refuse shapes that overflow
  return *product;
}

Tensor::Tensor(uint64_t rows, uint64_t columns) : rows_(rows), columns_(columns) {
  auto elements = checked_mul(rows, columns);
  auto bytes = elements ? checked_mul(*elements, sizeof(float)) : std::nullopt;
  QVL_CHECK(bytes.has_value());
  data_.reset(static_cast<float*>(::operator new[](*bytes, alignment)));
}

void Tensor::Free::operator()(float* p) const { ::operator delete[](p, alignment); }

}  // namespace qvl
