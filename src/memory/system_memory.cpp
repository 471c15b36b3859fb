#include "memory/system_memory.h"

#include <malloc.h>
#include <sys/mman.h>

#include <new>

#include "base/checked.h"
#include "memory/page_size.h"

namespace qvl {
namespace {

constexpr std::align_val_t kHeapAlignment{SystemMemory::kAlignment};

std::byte* map(uint64_t bytes) {
  void* address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return address == MAP_FAILED ? nullptr : static_cast<std::byte*>(address);
}

// Huge pages begin at multiples of their size: more addresses are taken, and what lies outside given back.
std::byte* map_for_huge_pages(uint64_t bytes) {
  constexpr uint64_t huge = HeapAndPages::kHugePage;
  const auto more = checked_add(bytes, huge);
  std::byte* const first = more ? map(*more) : nullptr;
  if (first == nullptr) return map(bytes);
  const auto misplaced = reinterpret_cast<uintptr_t>(first) % huge;
  std::byte* const begin = misplaced == 0 ? first : first + (huge - misplaced);
  if (begin != first) ::munmap(first, static_cast<size_t>(begin - first));
  std::byte* const end = begin + bytes;
  ::munmap(end, static_cast<size_t>(first + *more - end));
  ::madvise(begin, bytes, MADV_HUGEPAGE);  // advice: nothing is lost without
  return begin;
}

}  // namespace

std::byte* HeapAndPages::allocate(uint64_t bytes) noexcept {
  if (bytes < kOwnPagesFrom) {
    return static_cast<std::byte*>(::operator new(bytes, kHeapAlignment, std::nothrow));
  }
  const uint64_t size = whole_pages(bytes);
  if (size < bytes) return nullptr;  // more than there are addresses
  return huge_pages_ == HugePages::advised && size >= kHugePage ? map_for_huge_pages(size) : map(size);
}

void HeapAndPages::release(std::byte* data, uint64_t bytes) noexcept {
  if (bytes < kOwnPagesFrom) {
    ::operator delete(data, kHeapAlignment);
  } else {
    ::munmap(data, whole_pages(bytes));
  }
}

void trim_heap() { ::malloc_trim(0); }

}  // namespace qvl
