// The size of a page of memory, and whole pages.
#pragma once

#include <cstdint>

namespace qvl {

/// Bytes of a page: a power of two. Thread-safe; usable in signal handlers after the first call.
uint64_t page_size();

/// A multiple of the page size, at least `bytes`.
uint64_t whole_pages(uint64_t bytes);

}  // namespace qvl
