#include "memory_faults.h"

#include <link.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define QVL_REPLACES_MALLOC 0  // the sanitizers do
#else
#define QVL_REPLACES_MALLOC 1
#endif

namespace qvl::faults {
namespace {

std::atomic<bool> counting{false};
std::atomic<uint64_t> calls{0}, refused_from{0}, refused_to{0};  // refused_from = 0: none
std::atomic<uint64_t> refusals{0};
std::atomic<int64_t> live{0};

// Whether this request is to get nothing.
bool refused() {
  if (!counting.load(std::memory_order_relaxed)) return false;
  const uint64_t call = ++calls;
  const bool none = refused_from != 0 && call >= refused_from && call <= refused_to;
  if (none) ++refusals;
  return none;
}

#if QVL_REPLACES_MALLOC
// Where the code of the libraries lies whose malloc may fail. Others cannot be told of it: the C library
// itself ends the process where the destructor of a thread's variable finds no memory.
struct CodeRange {
  uintptr_t begin = 0, end = 0;
};
std::array<CodeRange, 64> code;
size_t code_ranges = 0;

int note_code(dl_phdr_info* info, size_t, void*) {
  const std::string_view path = info->dlpi_name;
  const std::string_view name = path.substr(path.rfind('/') + 1);
  constexpr std::string_view kNames[] = {"libjpeg", "libpng", "libgif", "libwebp.", "libz.", "libutf8proc"};
  const bool wanted =
      std::any_of(std::begin(kNames), std::end(kNames), [&](auto each) { return name.starts_with(each); });
  for (size_t i = 0; wanted && i < info->dlpi_phnum && code_ranges < code.size(); ++i) {
    const auto& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0) continue;
    const uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
    code[code_ranges++] = {begin, begin + segment.p_memsz};
  }
  return 0;
}

bool refused_to_library(const void* caller) {
  if (!counting.load(std::memory_order_relaxed)) return false;
  const auto at = reinterpret_cast<uintptr_t>(caller);
  const auto holds = [at](const CodeRange& range) { return at >= range.begin && at < range.end; };
  return std::any_of(code.begin(), code.begin() + static_cast<std::ptrdiff_t>(code_ranges), holds) &&
         refused();
}
#endif

}  // namespace

void refuse_memory(uint64_t n, Failing failing) {
#if QVL_REPLACES_MALLOC
  if (code_ranges == 0) ::dl_iterate_phdr(note_code, nullptr);
#endif
  calls = 0;
  refused_from = n;
  refused_to = failing == Failing::once ? n : UINT64_MAX;
  counting = true;
}

uint64_t allow_memory() {
  counting = false;
  return calls;
}

uint64_t refused_requests() { return refusals; }

int64_t live_blocks() { return live; }

}  // namespace qvl::faults

extern "C" {
#if QVL_REPLACES_MALLOC
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

void* malloc(size_t size) {
  if (qvl::faults::refused_to_library(__builtin_return_address(0))) return nullptr;
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  if (qvl::faults::refused_to_library(__builtin_return_address(0))) return nullptr;
  return __libc_calloc(count, size);
}
void* realloc(void* memory, size_t size) {
  if (qvl::faults::refused_to_library(__builtin_return_address(0))) return nullptr;
  return __libc_realloc(memory, size);
}
#endif

void* __real_mmap(void* address, size_t length, int protection, int flags, int fd, off_t offset);
void* __wrap_mmap(void* address, size_t length, int protection, int flags, int fd, off_t offset) {
  if (qvl::faults::refused()) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  return __real_mmap(address, length, protection, flags, fd, offset);
}
}

namespace {

void* take(size_t size, size_t alignment) noexcept {
  if (qvl::faults::refused()) return nullptr;
  const size_t bytes = std::max<size_t>(size, 1);
#if QVL_REPLACES_MALLOC
  void* const memory = alignment == 0 ? __libc_malloc(bytes) : __libc_memalign(alignment, bytes);
#else
  void* const memory = alignment == 0
                           ? std::malloc(bytes)
                           : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
#endif
  if (memory != nullptr) ++qvl::faults::live;
  return memory;
}

void* take_or_throw(size_t size, size_t alignment) {
  if (void* const memory = take(size, alignment)) return memory;
  throw std::bad_alloc();
}

void give_back(void* memory) noexcept {
  if (memory != nullptr) --qvl::faults::live;
  std::free(memory);
}

}  // namespace

// The standard lets a program replace these; the forms for arrays call them. Not inlined: GCC 12 takes the
// free of one that is for a mismatch with the operator that is not.
[[gnu::noinline]] void* operator new(size_t size) { return take_or_throw(size, 0); }
[[gnu::noinline]] void* operator new(size_t size, std::align_val_t alignment) {
  return take_or_throw(size, static_cast<size_t>(alignment));
}
[[gnu::noinline]] void* operator new(size_t size, const std::nothrow_t&) noexcept { return take(size, 0); }
[[gnu::noinline]] void* operator new(size_t size, std::align_val_t alignment,
                                     const std::nothrow_t&) noexcept {
  return take(size, static_cast<size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { give_back(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { give_back(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { give_back(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t, std::align_val_t) noexcept { give_back(memory); }
