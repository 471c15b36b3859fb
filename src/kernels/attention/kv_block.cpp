#include "kernels/attention/kv_block.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace qvl {
namespace {

// Integers of `x`, and their scale. NaN where a value is not finite; zero for zeros.
float quantise(const float* x, int64_t width, int16_t* out) {
  float largest = 0, poison = 0;
  for (int64_t i = 0; i < width; ++i) {
    largest = std::max(largest, std::abs(x[i]));
    poison += x[i] - x[i];
  }
  const float scale = largest / kLargestKvInteger + poison;
  const float inverse = scale > 1e-36f ? 1 / scale : 0.0f;
  for (int64_t i = 0; i < width; ++i) {
    // Half away from zero: a cast is one instruction, a call to round is not.
    const float scaled = x[i] * inverse;
    out[i] = inverse > 0 ? static_cast<int16_t>(scaled + (scaled < 0 ? -0.5f : 0.5f)) : int16_t{0};
  }
  return scale;
}

void store_scale(std::byte* at, int64_t key, float scale) {
  std::memcpy(at + key * static_cast<int64_t>(sizeof scale), &scale, sizeof scale);
}

}  // namespace

void write_kv_entry(const KvBlocks& blocks, const KvEntry& entry) {
  const int64_t width = blocks.width, key = entry.token % kBlockKeys;
  const KvBlockLayout layout{width};
  std::byte* block = blocks.block(entry.head, entry.token / kBlockKeys);
  int16_t q[kMaxBlockedWidth];
  const float key_scale = quantise(entry.key, width, q);
  std::byte* panel = block + layout.key_panel(key / kKvPanel) + key % kKvPanel * 4;
  for (int64_t i = 0; i < width; i += 2) std::memcpy(panel + i / 2 * kKvPanel * 4, q + i, 4);

  const float value_scale = quantise(entry.value, width, q);
  store_scale(block + layout.value_scales(), key, value_scale);
  // A value that is no number makes its key none: integer weights cannot carry it to the rows that see it.
  store_scale(block + layout.key_scales(), key, key_scale + (value_scale - value_scale));
  const int64_t at = key / 2 * kKvPanel * 4 + key % 2 * 2;
  for (int64_t i = 0; i < width; ++i) {
    std::memcpy(block + layout.value_panel(i / kKvPanel) + at + i % kKvPanel * 4, q + i, 2);
  }
}

}  // namespace qvl
