// Float32 tensors that own their memory, and read-only views of stored weights of any type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "memory/memory_home.h"
#include "tensor/dtype.h"

namespace qvl {

/// Sizes from the outermost dimension inwards, row-major (PyTorch order).
using Shape = std::vector<uint64_t>;

std::string to_string(const Shape& shape);  ///< "[2048, 1024]"

/// A stored weight: borrowed bytes, any type, rows along the last dimension. The owner (a mapped file)
/// outlives it.
struct TensorView {
  DType dtype = DType::f32;
  Shape shape;
  std::span<const std::byte> bytes;  ///< exactly bytes_for(dtype, product(shape))

  uint64_t elements() const;
};

/// Gives memory of `bytes` back to its home.
struct ReleaseFloats {
  MemoryHome home = {};
  uint64_t bytes = 0;
  void operator()(float* data) const;
};

/// Row-major float32 values in 64-byte aligned memory, not initialised. Movable, thread-compatible.
class Tensor {
 public:
  Tensor() = default;
  Tensor(uint64_t rows, uint64_t columns) { resize(rows, columns); }
  /// Of no values, with all its memory from `home`.
  explicit Tensor(MemoryHome home) : home_(home) {}
  Tensor(uint64_t rows, uint64_t columns, MemoryHome home) : home_(home) { resize(rows, columns); }

  /// Takes another shape; contents are undefined. Allocates only where the values do not fit the memory there
  /// is, and gives none back. Throws as MemoryHome::allocate: then it has no values.
  void resize(uint64_t rows, uint64_t columns);
  /// Gives all memory back: it has no values.
  void clear();

  uint64_t rows() const { return rows_; }
  uint64_t columns() const { return columns_; }
  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  float* row(uint64_t r) { return data_.get() + r * columns_; }
  const float* row(uint64_t r) const { return data_.get() + r * columns_; }
  std::span<float> values() { return {data_.get(), rows_ * columns_}; }
  std::span<const float> values() const { return {data_.get(), rows_ * columns_}; }

 private:
  MemoryHome home_;
  uint64_t rows_ = 0;
  uint64_t columns_ = 0;
  uint64_t capacity_ = 0;  // values
  std::unique_ptr<float[], ReleaseFloats> data_;
};

}  // namespace qvl
