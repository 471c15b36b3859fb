// Keys and values of 64 tokens of one head as 16-bit integers, in the order attention consumes them.
//
// A key or value of `width` numbers is scale * integers, the largest integer kLargest. The layout of a block:
//
//   keys    int16 [4 panels of 16 keys][width / 2 pairs of dimensions][16 keys][2]
//   values  int16 [padded(width) / 16 panels of 16 dimensions][32 pairs of keys][16 dimensions][2]
//   key_scales, value_scales  float [64]
//
// Places of keys that are not there yet are zero.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qvl {

constexpr int64_t kBlockKeys = 64;
constexpr int64_t kKvPanel = 16;
/// Products of two such integers, summed over 128 dimensions, fit 32 bits.
constexpr float kLargestKvInteger = 4095.0f;
constexpr int64_t kMaxBlockedWidth = 128;

constexpr int64_t padded_width(int64_t width) { return (width + kKvPanel - 1) / kKvPanel * kKvPanel; }

/// Offsets in bytes from the start of a block; `width` even.
struct KvBlockLayout {
  int64_t width;

  constexpr int64_t key_panel(int64_t panel) const { return panel * kKvPanel * width * 2; }
  constexpr int64_t value_panel(int64_t panel) const {
    return kBlockKeys * width * 2 + panel * kBlockKeys * kKvPanel * 2;
  }
  constexpr int64_t key_scales() const { return value_panel(padded_width(width) / kKvPanel); }
  constexpr int64_t value_scales() const { return key_scales() + kBlockKeys * 4; }
  constexpr int64_t bytes() const { return value_scales() + kBlockKeys * 4; }
};

/// Blocks of all heads: those of head h begin at data + h * head_stride, one after another. Borrowed.
struct KvBlocks {
  std::byte* data;
  int64_t head_stride;  // bytes
  int64_t width;

  std::byte* block(int64_t head, int64_t index) const {
    return data + head * head_stride + index * KvBlockLayout{width}.bytes();
  }
};

/// One key and one value of one head, at `token`. key, value: [width]
struct KvEntry {
  int64_t head, token;
  const float* key;
  const float* value;
};
void write_kv_entry(const KvBlocks& blocks, const KvEntry& entry);

}  // namespace qvl
