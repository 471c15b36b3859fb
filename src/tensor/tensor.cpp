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

void Tensor::resize(uint64_t rows, uint64_t columns) {
  const auto elements = checked_mul(rows, columns);
  const auto bytes = elements ? checked_mul(*elements, sizeof(float)) : std::nullopt;
  QVL_CHECK(bytes.has_value());
  if (data_ == nullptr || *elements > capacity_) {
    data_.reset();  // the old memory goes before the new comes
    rows_ = columns_ = capacity_ = 0;
    data_.reset(static_cast<float*>(::operator new[](*bytes, alignment)));
    capacity_ = *elements;
  }
  rows_ = rows;
  columns_ = columns;
}

void Tensor::Free::operator()(float* p) const { ::operator delete[](p, alignment); }

}  // namespace qvl
