#include "tensor/tensor.h"

#include <fmt/ranges.h>

#include "base/checked.h"
#include "base/error.h"

namespace qvl {

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
    clear();  // the old memory goes before the new comes
    auto* const data = static_cast<float*>(static_cast<void*>(home_.allocate(*bytes)));
    data_ = std::unique_ptr<float[], ReleaseFloats>(data, {.home = home_, .bytes = *bytes});
    capacity_ = *elements;
  }
  rows_ = rows;
  columns_ = columns;
}

void Tensor::clear() {
  data_.reset();
  rows_ = columns_ = capacity_ = 0;
}

void ReleaseFloats::operator()(float* data) const {
  home.release(static_cast<std::byte*>(static_cast<void*>(data)), bytes);
}

}  // namespace qvl
