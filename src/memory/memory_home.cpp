#include "memory/memory_home.h"

#include <algorithm>

namespace qvl {
namespace {
constexpr std::align_val_t kAlignment{SystemMemory::kAlignment};
}

std::byte* MemoryHome::allocate(uint64_t bytes) const {
  if (pool == nullptr) return static_cast<std::byte*>(::operator new(bytes, kAlignment));
  // A vector of nothing asks for nothing, and a block has an address.
  auto block = pool->allocate(std::max<uint64_t>(bytes, 1), part);
  if (!block) throw MemoryRefused(block.refusal());
  return block->detach();
}

void MemoryHome::release(std::byte* data, uint64_t bytes) const noexcept {
  if (data == nullptr) return;
  if (pool == nullptr) {
    ::operator delete(data, kAlignment);
  } else {
    (void)pool->adopt(data, std::max<uint64_t>(bytes, 1), part);
  }
}

Reservation MemoryHome::charge(uint64_t bytes) const {
  if (pool == nullptr) return {};
  auto charge = pool->ledger().reserve(part, bytes);
  if (!charge) throw MemoryRefused(charge.refusal());
  return *std::move(charge);
}

uint64_t MemoryHome::taken_bytes(uint64_t bytes) {
  return bytes == 0 ? 0 : bytes_of_class(size_class_of(std::min(bytes, kLargestBlock)));
}

}  // namespace qvl
