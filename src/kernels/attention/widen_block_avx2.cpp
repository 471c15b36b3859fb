// Widening with AVX2: sixteen integers a step, a factor for each pair of lanes.
#include <immintrin.h>

#include <cstring>

#include "kernels/attention/widen_block.h"

namespace qvl {
namespace {

__m128i load_16(const std::byte* at) {
  return _mm_loadu_si128(static_cast<const __m128i*>(static_cast<const void*>(at)));
}

// 32 bytes of `in`, the first 16 times `low`, the others times `high`.
void widen_pair(const std::byte* in, __m256i low, __m256i high, std::byte* out) {
  auto* to = static_cast<__m256i*>(static_cast<void*>(out));
  _mm256_storeu_si256(to, _mm256_mullo_epi16(_mm256_cvtepi8_epi16(load_16(in)), low));
  _mm256_storeu_si256(to + 1, _mm256_mullo_epi16(_mm256_cvtepi8_epi16(load_16(in + 16)), high));
}

void widen_keys(const std::byte* block, int64_t width, std::byte* wide) {
  const KvBlockLayout from{width, KvInteger::i8}, to{width};
  for (int64_t panel = 0; panel < kBlockKeys / kKvPanel; ++panel) {
    const std::byte* in = block + from.key_panel(panel);
    std::byte* out = wide + to.key_panel(panel);
    for (int64_t first = 0; first < width; first += kKvGroup) {
      // Factors of 16 keys, each twice: for the two dimensions of its pair.
      const __m128i factors =
          load_16(block + from.key_factors() + first / kKvGroup * kBlockKeys + panel * kKvPanel);
      const __m256i low = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(factors, factors));
      const __m256i high = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(factors, factors));
      const int64_t end = first + kKvGroup < width ? first + kKvGroup : width;
      for (int64_t i = first; i < end; i += 2)
        widen_pair(in + i * kKvPanel, low, high, out + i * kKvPanel * 2);
    }
  }
}

void widen_values(const std::byte* block, int64_t width, std::byte* wide) {
  const KvBlockLayout from{width, KvInteger::i8}, to{width};
  static_assert(kKvGroup % kKvPanel == 0, "a panel has the factors of one group");
  for (int64_t panel = 0; panel < padded_width(width) / kKvPanel; ++panel) {
    const std::byte* in = block + from.value_panel(panel);
    std::byte* out = wide + to.value_panel(panel);
    const std::byte* factors = block + from.value_factors() + panel * kKvPanel / kKvGroup * kBlockKeys;
    for (int64_t key = 0; key < kBlockKeys; key += 2) {
      // Factors of two keys, for the dimensions in turn.
      const int pair = static_cast<int>(factors[key]) | static_cast<int>(factors[key + 1]) << 16;
      const __m256i by = _mm256_set1_epi32(pair);
      widen_pair(in + key * kKvPanel, by, by, out + key * kKvPanel * 2);
    }
  }
}

void prefetch(const std::byte* memory, int64_t bytes) {
  constexpr int64_t line = 64;
  for (int64_t i = 0; i < bytes; i += line) {
    _mm_prefetch(static_cast<const char*>(static_cast<const void*>(memory + i)), _MM_HINT_T0);
  }
}

}  // namespace

const std::byte* widen_block_avx2(const std::byte* block, int64_t width, WideBlock& wide) {
  const KvBlockLayout from{width, KvInteger::i8}, to{width};
  widen_keys(block, width, wide.bytes);
  widen_values(block, width, wide.bytes);
  std::memcpy(wide.bytes + to.key_scales(), block + from.key_scales(),
              static_cast<size_t>(from.bytes() - from.key_scales()));
  return wide.bytes;
}

const std::byte* wide_block_avx2(const KvBlocks& kv, const KvBlockPlace& at, WideBlock& wide) {
  const std::byte* block = kv.block(at.head, at.index);
  if (kv.integer == KvInteger::i16) return block;
  widen_block_avx2(block, kv.width, wide);
  // Read at once, not while it is multiplied like a block of 16 bits, the next one would be waited for:
  // without this, keys that no cache holds take 1.7 times as long.
  if (at.index < at.last) prefetch(kv.block(at.head, at.index + 1), kv.layout().bytes());
  return wide.bytes;
}

}  // namespace qvl
