// Sizes of pooled blocks: eight steps for each doubling.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace qvl {

/// Classes are multiples of 64 bytes up to 1 KiB, then eight steps a doubling. So a block is less than an
/// eighth larger than what was asked for, or less than 64 bytes.
inline constexpr uint64_t kLargestBlock = uint64_t{1} << 46;
inline constexpr size_t kSizeClasses = 8 + 8 * 37;

/// The class of the smallest blocks that hold `bytes`, 1 to kLargestBlock.
inline constexpr size_t size_class_of(uint64_t bytes) {
  const uint64_t units = (bytes + 63) / 64;
  if (units <= 8) return static_cast<size_t>(units) - 1;
  const int shift = std::bit_width(units - 1) - 4;
  const uint64_t steps = (units + (uint64_t{1} << shift) - 1) >> shift;  // 9 to 16
  return 8 + 8 * static_cast<size_t>(shift) + static_cast<size_t>(steps) - 9;
}

/// Bytes of the blocks of a class.
inline constexpr uint64_t bytes_of_class(size_t size_class) {
  if (size_class < 8) return 64 * (uint64_t{size_class} + 1);
  return (64 * (9 + uint64_t{size_class} % 8)) << (size_class / 8 - 1);
}

static_assert(size_class_of(kLargestBlock) + 1 == kSizeClasses &&
              bytes_of_class(kSizeClasses - 1) == kLargestBlock);

}  // namespace qvl
