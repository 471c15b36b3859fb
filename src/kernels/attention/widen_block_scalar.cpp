// The reference of widening: one integer after another.
#include <cstring>

#include "kernels/attention/widen_block.h"

namespace qvl {
namespace {

void store_product(const std::byte* integer, const std::byte* factor, std::byte* out) {
  int8_t value;
  std::memcpy(&value, integer, sizeof value);
  const auto product = static_cast<int16_t>(value * std::to_integer<int>(*factor));
  std::memcpy(out, &product, sizeof product);
}

}  // namespace

const std::byte* widen_block_scalar(const std::byte* block, int64_t width, WideBlock& wide) {
  const KvBlockLayout from{width, KvInteger::i8}, to{width};
  const std::byte* key_factors = block + from.key_factors();
  const std::byte* value_factors = block + from.value_factors();
  for (int64_t key = 0; key < kBlockKeys; ++key) {
    const std::byte* in = block + from.key_panel(key / kKvPanel);
    std::byte* out = wide.bytes + to.key_panel(key / kKvPanel);
    for (int64_t i = 0; i < width; ++i) {
      const int64_t at = (i / 2 * kKvPanel + key % kKvPanel) * 2 + i % 2;
      store_product(in + at, key_factors + i / kKvGroup * kBlockKeys + key, out + 2 * at);
    }
  }
  for (int64_t i = 0; i < padded_width(width); ++i) {
    const std::byte* in = block + from.value_panel(i / kKvPanel);
    std::byte* out = wide.bytes + to.value_panel(i / kKvPanel);
    for (int64_t key = 0; key < kBlockKeys; ++key) {
      const int64_t at = (key / 2 * kKvPanel + i % kKvPanel) * 2 + key % 2;
      store_product(in + at, value_factors + i / kKvGroup * kBlockKeys + key, out + 2 * at);
    }
  }
  std::memcpy(wide.bytes + to.key_scales(), block + from.key_scales(),
              static_cast<size_t>(from.bytes() - from.key_scales()));
  return wide.bytes;
}

WidenBlock widen_block(Isa isa) {
  static constexpr IsaRow<WidenBlock> kList[] = {{Isa::scalar, widen_block_scalar},
                                                 {Isa::avx2, widen_block_avx2}};
  return entry_for(kList, isa);
}

}  // namespace qvl
