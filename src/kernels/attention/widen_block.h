// Blocks of 8-bit keys and values as blocks of 16 bits, for kernels that multiply those.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention/kv_block.h"
#include "kernels/isa.h"

namespace qvl {

/// Room for one block of 16 bits.
struct alignas(64) WideBlock {
  std::byte bytes[KvBlockLayout{kMaxBlockedWidth}.bytes()];
};

/// Writes `block`, of 8 bits, as a block of 16 bits that holds the same numbers: each integer times its
/// factor, the scales as they are. Returns wide.bytes.
using WidenBlock = const std::byte* (*)(const std::byte* block, int64_t width, WideBlock& wide);

const std::byte* widen_block_scalar(const std::byte* block, int64_t width, WideBlock& wide);
const std::byte* widen_block_avx2(const std::byte* block, int64_t width, WideBlock& wide);

WidenBlock widen_block(Isa isa);

/// A block of a head; `last` is the last that the caller will ask for, one after another.
struct KvBlockPlace {
  int64_t head, index, last;
};
/// The block in 16 bits: where it lies, or widened into `wide`.
const std::byte* wide_block_avx2(const KvBlocks& kv, const KvBlockPlace& at, WideBlock& wide);

}  // namespace qvl
