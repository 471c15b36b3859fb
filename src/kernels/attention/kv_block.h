// Keys and values of 64 tokens of one head as integers, in the order attention consumes them.
//
// In 16 bits, a key or value of `width` numbers is scale * integers, the largest integer at most
// kLargestKvInteger.
// In 8 bits it is scale * factor * integers, with a factor for every 32 dimensions: a channel far larger than
// the others costs the precision of its group alone. factor * integer fits what 16-bit blocks hold
// (widen_block.h). The layout of a block, `integer` being int16 or int8:
//
//   keys    integer [4 panels of 16 keys][width / 2 pairs of dimensions][16 keys][2]
//   values  integer [padded(width) / 16 panels of 16 dimensions][32 pairs of keys][16 dimensions][2]
//   key_factors, value_factors  uint8 [groups of 32 dimensions][64], in 8-bit blocks alone
//   key_scales, value_scales  float [64]
//
// Scales of values are zero or powers of two. Places of keys that are not there yet are zero.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/isa.h"

namespace qvl {

constexpr int64_t kBlockKeys = 64;
constexpr int64_t kKvPanel = 16;
/// Products of two such integers, summed over 128 dimensions, fit 32 bits.
constexpr float kLargestKvInteger = 4095.0f;
constexpr int64_t kMaxBlockedWidth = 128;

/// Dimensions of an 8-bit key or value that share a factor.
constexpr int64_t kKvGroup = 32;
constexpr float kLargestKvByte = 127.0f, kLargestKvFactor = 32.0f;
static_assert(kLargestKvByte * kLargestKvFactor <= kLargestKvInteger);

enum class KvInteger : uint8_t { i16, i8 };

constexpr int64_t padded_width(int64_t width) { return (width + kKvPanel - 1) / kKvPanel * kKvPanel; }
constexpr int64_t kv_groups(int64_t width) { return (width + kKvGroup - 1) / kKvGroup; }

/// Offsets in bytes from the start of a block; `width` even.
struct KvBlockLayout {
  int64_t width;
  KvInteger integer = KvInteger::i16;

  constexpr int64_t integer_bytes() const { return integer == KvInteger::i16 ? 2 : 1; }
  constexpr int64_t key_panel(int64_t panel) const { return panel * kKvPanel * width * integer_bytes(); }
  constexpr int64_t value_panel(int64_t panel) const {
    return (kBlockKeys * width + panel * kBlockKeys * kKvPanel) * integer_bytes();
  }
  constexpr int64_t key_factors() const { return value_panel(padded_width(width) / kKvPanel); }
  constexpr int64_t value_factors() const { return key_factors() + factor_bytes(); }
  constexpr int64_t key_scales() const { return value_factors() + factor_bytes(); }
  constexpr int64_t value_scales() const { return key_scales() + kBlockKeys * 4; }
  constexpr int64_t bytes() const { return value_scales() + kBlockKeys * 4; }

 private:
  constexpr int64_t factor_bytes() const {
    return integer == KvInteger::i16 ? 0 : kv_groups(width) * kBlockKeys;
  }
};

/// Blocks of all heads, one head `head_stride` bytes behind the other: in one piece, the blocks of a head one
/// after another, or each block of tokens in a page of its own, wherever that lies. Borrowed.
struct KvBlocks {
  std::byte* data;  // the first block; of no meaning where there are pages
  int64_t head_stride;
  int64_t width;
  KvInteger integer = KvInteger::i16;
  std::byte* const* pages = nullptr;  // null: one piece
  int64_t page_offset = 0;            // bytes from the start of a page to the block of its first head

  KvBlockLayout layout() const { return {width, integer}; }
  std::byte* block(int64_t head, int64_t index) const {
    std::byte* of_all = pages == nullptr ? data + index * layout().bytes() : pages[index] + page_offset;
    return of_all + head * head_stride;
  }
};

/// One key and one value of one head, at `token`. key, value: [width]
struct KvEntry {
  int64_t head, token;
  const float* key;
  const float* value;
};

/// The arithmetic of writing an entry. Every instruction set gives the same bits.
struct KvRounding {
  /// NaN where a value is not finite.
  float (*largest_magnitude)(const float* x, int64_t count);
  /// x / scale, rounded half away from zero; zeros where the scale is too small for an inverse, or NaN.
  void (*to_words)(const float* x, int64_t count, float scale, int16_t* out);
  void (*to_bytes)(const float* x, int64_t count, float scale, int8_t* out);
};
extern const KvRounding kKvRoundingScalar, kKvRoundingAvx2;
const KvRounding& kv_rounding(Isa isa);

constexpr float kSmallestKvScale = 1e-36f;  ///< its inverse is finite

void write_kv_entry(const KvBlocks& blocks, const KvEntry& entry, const KvRounding& rounding);

/// Whether integers and factors of a block from outside are as small as those that are written: then no sum
/// of attention leaves its 32 bits.
bool within_limits(const KvBlockLayout& layout, std::span<const std::byte> block);

}  // namespace qvl
