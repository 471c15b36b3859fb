#include "kernels/attention/kv_block.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace qvl {
namespace {

constexpr float kSmallestScale = 1e-36f;  // its inverse is finite

// NaN where a value is not finite.
float largest_magnitude(const float* x, int64_t count) {
  float largest = 0, poison = 0;
  for (int64_t i = 0; i < count; ++i) {
    largest = std::max(largest, std::abs(x[i]));
    poison += x[i] - x[i];
  }
  return largest + poison;
}

// x / scale as integers; zeros where the scale is too small, or NaN.
template <typename Integer>
void round_to_integers(const float* x, int64_t count, float scale, Integer* out) {
  const float inverse = scale > kSmallestScale ? 1 / scale : 0.0f;
  for (int64_t i = 0; i < count; ++i) {
    // Half away from zero: a cast is one instruction, a call to round is not.
    const float scaled = x[i] * inverse;
    out[i] = inverse > 0 ? static_cast<Integer>(scaled + (scaled < 0 ? -0.5f : 0.5f)) : Integer{0};
  }
}

// One key or value in integers: zeros and a scale of zero for zeros, zeros and NaN where a value is not
// finite.
struct Words {
  int16_t integers[kMaxBlockedWidth];
  float scale;

  void quantise(const float* x, int64_t width) {
    scale = largest_magnitude(x, width) / kLargestKvInteger;
    round_to_integers(x, width, scale, integers);
  }
  void store_factors(std::byte*, int64_t, int64_t) const {}
};

struct Bytes {
  int8_t integers[kMaxBlockedWidth];
  uint8_t factors[kv_groups(kMaxBlockedWidth)];
  float scale;

  void quantise(const float* x, int64_t width) {
    float largest[kv_groups(kMaxBlockedWidth)], largest_of_all = 0, poison = 0;
    for (int64_t g = 0; g < kv_groups(width); ++g) {
      largest[g] = largest_magnitude(x + g * kKvGroup, std::min(kKvGroup, width - g * kKvGroup));
      largest_of_all = std::max(largest_of_all, largest[g]);
      poison += largest[g] - largest[g];
    }
    scale = largest_of_all / (kLargestKvByte * kLargestKvFactor) + poison;
    for (int64_t g = 0; g < kv_groups(width); ++g) {
      // Rounded up, so that the group's largest integer is at most kLargestKvByte.
      const float factor =
          scale > kSmallestScale
              ? std::clamp(std::ceil(largest[g] / (scale * kLargestKvByte)), 1.0f, kLargestKvFactor)
              : 0.0f;
      factors[g] = static_cast<uint8_t>(factor);
      round_to_integers(x + g * kKvGroup, std::min(kKvGroup, width - g * kKvGroup), scale * factor,
                        integers + g * kKvGroup);
    }
  }
  // at: [groups][kBlockKeys]
  void store_factors(std::byte* at, int64_t width, int64_t key) const {
    for (int64_t g = 0; g < kv_groups(width); ++g) at[g * kBlockKeys + key] = std::byte{factors[g]};
  }
};

void store_scale(std::byte* at, int64_t key, float scale) {
  std::memcpy(at + key * static_cast<int64_t>(sizeof scale), &scale, sizeof scale);
}

template <typename Numbers>
void write_entry(const KvBlocks& blocks, const KvEntry& entry) {
  const int64_t width = blocks.width, key = entry.token % kBlockKeys;
  const KvBlockLayout layout = blocks.layout();
  const int64_t bytes = layout.integer_bytes(), pair_bytes = 2 * kKvPanel * bytes;
  std::byte* block = blocks.block(entry.head, entry.token / kBlockKeys);
  Numbers numbers;
  numbers.quantise(entry.key, width);
  const float key_scale = numbers.scale;
  numbers.store_factors(block + layout.key_factors(), width, key);
  std::byte* panel = block + layout.key_panel(key / kKvPanel) + key % kKvPanel * 2 * bytes;
  for (int64_t i = 0; i < width; i += 2) {
    std::memcpy(panel + i / 2 * pair_bytes, numbers.integers + i, 2 * sizeof numbers.integers[0]);
  }

  numbers.quantise(entry.value, width);
  store_scale(block + layout.value_scales(), key, numbers.scale);
  // A value that is no number makes its key none: integer weights cannot carry it to the rows that see it.
  store_scale(block + layout.key_scales(), key, key_scale + (numbers.scale - numbers.scale));
  numbers.store_factors(block + layout.value_factors(), width, key);
  const int64_t at = key / 2 * pair_bytes + key % 2 * bytes;
  for (int64_t i = 0; i < width; ++i) {
    std::memcpy(block + layout.value_panel(i / kKvPanel) + at + i % kKvPanel * 2 * bytes,
                numbers.integers + i, sizeof numbers.integers[0]);
  }
}

}  // namespace

void write_kv_entry(const KvBlocks& blocks, const KvEntry& entry) {
  blocks.integer == KvInteger::i16 ? write_entry<Words>(blocks, entry) : write_entry<Bytes>(blocks, entry);
}

}  // namespace qvl
