// Arithmetic on numbers that came from a file or a request: an overflow is a value, never a wrap.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>

namespace qvl {

/// a + b, or nothing where it does not fit 64 bits.
inline std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

/// a * b, or nothing where it does not fit 64 bits.
inline std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

/// The product of all factors, or nothing where it does not fit 64 bits.
template <typename Range>
std::optional<uint64_t> checked_product(const Range& factors) {
  uint64_t product = 1;
  for (uint64_t factor : factors) {
    auto next = checked_mul(product, factor);
    if (!next) return std::nullopt;
    product = *next;
  }
  return product;
}

}  // namespace qvl
