#include "kernels/attention/kv_block.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace qvl {
namespace {

// What a scale may be: a power of two where attention adds its logarithm to a score.
enum class ScaleKind { any, power_of_two };

// Of that kind, no smaller; what is no normal number stays.
float usable_scale(float scale, ScaleKind kind) {
  if (kind == ScaleKind::any || !(scale > kSmallestKvScale) || !std::isfinite(scale)) return scale;
  int exponent = 0;
  const float part = std::frexp(scale, &exponent);  // in [1/2, 1)
  return std::ldexp(1.0f, part > 0.5f ? exponent : exponent - 1);
}

// One key or value in integers: zeros and a scale of zero for zeros, zeros and NaN where a value is not
// finite.
struct Words {
  int16_t integers[kMaxBlockedWidth];
  float scale;

  void quantise(const float* x, int64_t width, ScaleKind kind, const KvRounding& rounding) {
    scale = usable_scale(rounding.largest_magnitude(x, width) / kLargestKvInteger, kind);
    rounding.to_words(x, width, scale, integers);
  }
  void store_factors(std::byte*, int64_t, int64_t) const {}
};

struct Bytes {
  int8_t integers[kMaxBlockedWidth];
  uint8_t factors[kv_groups(kMaxBlockedWidth)];
  float scale;

  void quantise(const float* x, int64_t width, ScaleKind kind, const KvRounding& rounding) {
    float largest[kv_groups(kMaxBlockedWidth)], largest_of_all = 0, poison = 0;
    for (int64_t g = 0; g < kv_groups(width); ++g) {
      largest[g] = rounding.largest_magnitude(x + g * kKvGroup, std::min(kKvGroup, width - g * kKvGroup));
      largest_of_all = std::max(largest_of_all, largest[g]);
      poison += largest[g] - largest[g];
    }
    scale = usable_scale(largest_of_all / (kLargestKvByte * kLargestKvFactor) + poison, kind);
    for (int64_t g = 0; g < kv_groups(width); ++g) {
      // Rounded up, so that the group's largest integer is at most kLargestKvByte.
      const float factor =
          scale > kSmallestKvScale
              ? std::clamp(std::ceil(largest[g] / (scale * kLargestKvByte)), 1.0f, kLargestKvFactor)
              : 0.0f;
      factors[g] = static_cast<uint8_t>(factor);
      rounding.to_bytes(x + g * kKvGroup, std::min(kKvGroup, width - g * kKvGroup), scale * factor,
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
void write_entry(const KvBlocks& blocks, const KvEntry& entry, const KvRounding& rounding) {
  const int64_t width = blocks.width, key = entry.token % kBlockKeys;
  const KvBlockLayout layout = blocks.layout();
  const int64_t bytes = layout.integer_bytes(), pair_bytes = 2 * kKvPanel * bytes;
  std::byte* block = blocks.block(entry.head, entry.token / kBlockKeys);
  Numbers numbers;
  numbers.quantise(entry.key, width, ScaleKind::any, rounding);
  const float key_scale = numbers.scale;
  numbers.store_factors(block + layout.key_factors(), width, key);
  std::byte* panel = block + layout.key_panel(key / kKvPanel) + key % kKvPanel * 2 * bytes;
  for (int64_t i = 0; i < width; i += 2) {
    std::memcpy(panel + i / 2 * pair_bytes, numbers.integers + i, 2 * sizeof numbers.integers[0]);
  }

  numbers.quantise(entry.value, width, ScaleKind::power_of_two, rounding);
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

void write_kv_entry(const KvBlocks& blocks, const KvEntry& entry, const KvRounding& rounding) {
  blocks.integer == KvInteger::i16 ? write_entry<Words>(blocks, entry, rounding)
                                   : write_entry<Bytes>(blocks, entry, rounding);
}

bool within_limits(const KvBlockLayout& layout, std::span<const std::byte> block) {
  QVL_CHECK(std::ssize(block) == layout.bytes());
  const auto part = [&](int64_t begin, int64_t end) {
    return block.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  };
  const auto integers = part(0, layout.key_factors());
  if (layout.integer == KvInteger::i16) {
    for (size_t i = 0; i < integers.size(); i += sizeof(int16_t)) {
      int16_t word = 0;
      std::memcpy(&word, integers.data() + i, sizeof word);
      if (std::abs(int{word}) > static_cast<int>(kLargestKvInteger)) return false;
    }
    return true;
  }
  const auto factors = part(layout.key_factors(), layout.key_scales());
  return std::none_of(integers.begin(), integers.end(),
                      [](std::byte byte) { return byte == std::byte{0x80}; }) &&
         std::all_of(factors.begin(), factors.end(), [](std::byte factor) {
           return std::to_integer<int>(factor) <= static_cast<int>(kLargestKvFactor);
         });
}

const KvRounding& kv_rounding(Isa isa) {
  static constexpr IsaRow<const KvRounding*> kList[] = {{Isa::scalar, &kKvRoundingScalar},
                                                        {Isa::avx2, &kKvRoundingAvx2}};
  return *entry_for(kList, isa);
}

}  // namespace qvl
