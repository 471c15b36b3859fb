// Where blocks of memory come from: the heap for small ones, own pages for large ones.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace qvl {

/// A source of memory. Tests put their own in its place, to count and to refuse. Thread-safe.
class SystemMemory {
 public:
  /// Of every block: a cache line, and the widest vector register.
  static constexpr uint64_t kAlignment = 64;

  virtual ~SystemMemory() = default;
  /// `bytes` > 0 with undefined contents, aligned to kAlignment; nullptr where the system has none.
  virtual std::byte* allocate(uint64_t bytes) noexcept = 0;
  /// Gives back what `allocate` gave for the same `bytes`.
  virtual void release(std::byte* data, uint64_t bytes) noexcept = 0;
};

/// Whether large blocks are advised to lie in huge pages. They save misses of the address cache; a block
/// still takes no more than its own size.
enum class HugePages { off, advised };

/// The real one. Thread-safe.
class HeapAndPages final : public SystemMemory {
 public:
  /// Blocks from this size on have pages of their own, which go back to the system at once when released.
  /// Smaller ones come from the heap.
  static constexpr uint64_t kOwnPagesFrom = uint64_t{1} << 20;
  static constexpr uint64_t kHugePage = uint64_t{2} << 20;

  explicit HeapAndPages(HugePages huge_pages) : huge_pages_(huge_pages) {}
  /// For blocks from now on.
  void set_huge_pages(HugePages huge_pages) { huge_pages_ = huge_pages; }
  std::byte* allocate(uint64_t bytes) noexcept override;
  void release(std::byte* data, uint64_t bytes) noexcept override;

 private:
  std::atomic<HugePages> huge_pages_;
};

/// Gives freed memory that the heap still holds back to the system. Takes milliseconds.
void trim_heap();

}  // namespace qvl
