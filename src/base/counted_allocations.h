// Counts every allocation of a program by operator new, whichever thread makes it. Included by exactly one
// source of a program, which has these operators in place of the library's from then on.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace qvl {
/// Since the program began.
inline std::atomic<int64_t> allocations{0};
}  // namespace qvl

// The standard lets a program replace these; all other forms call them. Not inlined: GCC 12 takes the free of
// one that is for a mismatch with the operator that is not.
[[gnu::noinline]] void* operator new(size_t size) {
  ++qvl::allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(size_t size, std::align_val_t alignment) {
  ++qvl::allocations;
  const auto step = static_cast<size_t>(alignment);
  if (void* memory = std::aligned_alloc(step, (size + step - 1) / step * step)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }
