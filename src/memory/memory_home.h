// Where the memory of vectors and tensors comes from: a pool with its ledger, or the heap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "memory/tensor_pool.h"

namespace qvl {

/// A refusal of the pool on its way through code that knows nothing but std::bad_alloc.
class MemoryRefused : public std::bad_alloc {
 public:
  explicit MemoryRefused(MemoryRefusal refusal)
      : refusal_(std::make_shared<const MemoryRefusal>(std::move(refusal))) {}
  const char* what() const noexcept override { return refusal_->message.c_str(); }
  const MemoryRefusal& refusal() const { return *refusal_; }

 private:
  std::shared_ptr<const MemoryRefusal> refusal_;  // copies of an exception must not throw
};

/// A pool that outlives what is taken from it, and what for; without a pool the heap. Plain data.
struct MemoryHome {
  TensorPool* pool = nullptr;
  MemoryPart part = MemoryPart::other;

  bool operator==(const MemoryHome&) const = default;
  /// The same pool for another part.
  MemoryHome with(MemoryPart other) const { return {.pool = pool, .part = other}; }
  /// `bytes` aligned to 64, contents undefined. Throws MemoryRefused where the ledger or the system has none,
  /// std::bad_alloc where the heap has none.
  std::byte* allocate(uint64_t bytes) const;
  /// Gives back what `allocate` of an equal home gave for the same `bytes`.
  void release(std::byte* data, uint64_t bytes) const noexcept;
  /// Sets `bytes` down that somebody else takes from the heap: a library, while it decodes. Of nothing
  /// without a pool. Throws MemoryRefused.
  Reservation charge(uint64_t bytes) const;
  /// What `bytes` from a pool take: those of a whole block.
  static uint64_t taken_bytes(uint64_t bytes);
};

/// The standard library's view of a MemoryHome. Goes with the memory when a container is moved or copied.
template <typename T>
class HomeAllocator {
 public:
  using value_type = T;
  using propagate_on_container_copy_assignment = std::true_type;
  using propagate_on_container_move_assignment = std::true_type;
  using propagate_on_container_swap = std::true_type;

  HomeAllocator() = default;
  HomeAllocator(MemoryHome home) : home_(home) {}  // NOLINT: a container is made with a home
  template <typename Other>
  HomeAllocator(const HomeAllocator<Other>& other) : home_(other.home()) {}  // NOLINT: rebinding

  T* allocate(size_t count) {
    if (count > std::numeric_limits<size_t>::max() / sizeof(T)) throw std::bad_array_new_length();
    return static_cast<T*>(static_cast<void*>(home_.allocate(count * sizeof(T))));
  }
  void deallocate(T* data, size_t count) noexcept {
    home_.release(static_cast<std::byte*>(static_cast<void*>(data)), count * sizeof(T));
  }
  MemoryHome home() const { return home_; }
  template <typename Other>
  bool operator==(const HomeAllocator<Other>& other) const {
    return home_ == other.home();
  }

 private:
  MemoryHome home_;
};

/// A vector whose memory has a home.
template <typename T>
using HomeVector = std::vector<T, HomeAllocator<T>>;

}  // namespace qvl
