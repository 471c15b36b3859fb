// What this machine does at best, measured.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/isa.h"
#include "threads/thread_pool.h"

namespace qvl {

/// Passes of a measurement, of which the best counts: what else runs only makes one slower.
constexpr int kPeakPasses = 5;

/// What measure_read_bytes_per_second allocates: a cache might hold `bytes` where they are few.
uint64_t read_buffer_bytes(std::span<const std::byte> bytes);

/// Bytes read from memory in a second by all threads of the pool together: the best of `passes` >= 1 over
/// `bytes`, or over read_buffer_bytes() of our own where that is more than none.
double measure_read_bytes_per_second(ThreadPool& pool, std::span<const std::byte> bytes,
                                     int passes = kPeakPasses);

/// 8-bit multiplications and additions in a second by all threads together, from the first cache: of the
/// faster of the integer products that `isa` has, the best of `passes` >= 1.
double measure_int8_ops_per_second(ThreadPool& pool, Isa isa, int passes = kPeakPasses);

}  // namespace qvl
