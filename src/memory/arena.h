// Scratch memory of one step: taken piece by piece, given back all at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "base/checked.h"
#include "memory/tensor_pool.h"

namespace qvl {

/// Takes memory from the end of pooled chunks and forgets it at `reset`. A step that needed several chunks
/// gets one of their sum the next time, so that from the third equal step on nothing is asked of the pool or
/// the system. Thread-compatible. Outlived by its pool.
class Arena {
 public:
  /// Chunks of at least `chunk_bytes`, set down for the part of `budget`: from what it holds first, then from
  /// the ledger. It may hold nothing.
  Arena(TensorPool& pool, Reservation budget, uint64_t chunk_bytes);
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// `bytes` with undefined contents, valid until the next reset. `alignment` is a power of two.
  Grant<std::span<std::byte>> allocate(uint64_t bytes, uint64_t alignment = SystemMemory::kAlignment);

  /// `count` values, not initialised.
  template <typename T>
  Grant<std::span<T>> allocate_array(uint64_t count) {
    static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);
    static_assert(alignof(T) <= SystemMemory::kAlignment);
    // More than 64 bits hold is refused like any other size that is too large.
    auto place = allocate(checked_mul(count, sizeof(T)).value_or(UINT64_MAX));
    if (!place) return place.refusal();
    return std::span<T>(reinterpret_cast<T*>(place->data()), count);
  }

  /// Ends the step: all that was allocated is gone.
  void reset();

  /// Bytes taken in this step, gaps for alignment included.
  uint64_t used_bytes() const { return used_; }
  /// The most a step has taken.
  uint64_t high_water_bytes() const { return high_water_; }

 private:
  // The next `bytes` of the last chunk; nullptr where they are not there.
  std::byte* bump(uint64_t bytes, uint64_t alignment);

  TensorPool& pool_;
  Reservation budget_;
  uint64_t chunk_bytes_;
  std::vector<PooledBlock> chunks_;
  uint64_t offset_ = 0;  // in the last chunk
  uint64_t used_ = 0, high_water_ = 0;
  uint64_t in_one_chunk_ = 0;  // what the step would take in one chunk at most, wherever that begins
};

}  // namespace qvl
