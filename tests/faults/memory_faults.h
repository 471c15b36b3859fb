// Memory that runs out when a test wants it to, for the whole process.
#pragma once

#include <cstdint>

namespace qvl::faults {

enum class Failing { once, from_then_on };

/// From now on the `n`-th request for memory, counted from 1 over all threads, gets nothing: operator new in
/// all its forms, the library's calls of mmap, and, but for builds with sanitizers, malloc of the libraries
/// that decode pictures. n = 0 counts and refuses nothing. One thread at a time calls it, while others may
/// ask for memory.
void refuse_memory(uint64_t n, Failing failing);
/// Refuses nothing any more. Returns how many requests there were since refuse_memory.
uint64_t allow_memory();
/// Requests that got nothing since the program began.
uint64_t refused_requests();
/// Blocks that operator new has given and nobody has given back.
int64_t live_blocks();

}  // namespace qvl::faults
