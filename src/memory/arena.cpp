#include "memory/arena.h"

#include <sanitizer/asan_interface.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/error.h"

namespace qvl {
namespace {
constexpr uint64_t kBlock = SystemMemory::kAlignment;  // of every chunk
}

Arena::Arena(TensorPool& pool, Reservation budget, uint64_t chunk_bytes)
    : pool_(pool), budget_(std::move(budget)), chunk_bytes_(chunk_bytes) {}

std::byte* Arena::bump(uint64_t bytes, uint64_t alignment) {
  if (chunks_.empty()) return nullptr;
  const std::span<std::byte> chunk = chunks_.back().bytes();
  const uint64_t left = chunk.size() - offset_;
  const auto address = reinterpret_cast<uintptr_t>(chunk.data()) + offset_;
  const uint64_t gap = (alignment - address % alignment) % alignment;
  if (gap > left || bytes > left - gap) return nullptr;
  std::byte* const place = chunk.data() + offset_ + gap;
  offset_ += gap + bytes;
  used_ += gap + bytes;
  high_water_ = std::max(high_water_, used_);
  in_one_chunk_ += (bytes + kBlock - 1) / kBlock * kBlock + (alignment > kBlock ? alignment - kBlock : 0);
  ASAN_UNPOISON_MEMORY_REGION(place, bytes);
  return place;
}

Grant<std::span<std::byte>> Arena::allocate(uint64_t bytes, uint64_t alignment) {
  QVL_CHECK(std::has_single_bit(alignment));
  if (bytes == 0) return std::span<std::byte>();
  if (std::byte* place = bump(bytes, alignment)) return std::span<std::byte>(place, bytes);
  // A chunk begins at a multiple of 64, which is enough for most.
  const uint64_t gap = alignment > kBlock ? alignment - kBlock : 0;
  const uint64_t wanted = std::max(chunk_bytes_, checked_add(bytes, gap).value_or(UINT64_MAX));
  chunks_.reserve(chunks_.size() + 1);  // before memory is taken
  auto chunk = pool_.allocate(wanted, budget_);
  if (!chunk) return chunk.refusal();
  ASAN_POISON_MEMORY_REGION(chunk->bytes().data(), chunk->bytes().size());
  chunks_.push_back(*std::move(chunk));
  offset_ = 0;
  return std::span<std::byte>(bump(bytes, alignment), bytes);
}

void Arena::reset() {
  if (chunks_.size() > 1) {
    chunk_bytes_ = std::max(chunk_bytes_, in_one_chunk_);
    chunks_.clear();
  }
  if (!chunks_.empty()) {
    ASAN_POISON_MEMORY_REGION(chunks_.back().bytes().data(), chunks_.back().bytes().size());
  }
  offset_ = used_ = in_one_chunk_ = 0;
}

}  // namespace qvl
