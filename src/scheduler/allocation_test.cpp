// Steps allocate nothing once their memory is there: counts every allocation of the process.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "scheduler/scheduler.h"

namespace {
std::atomic<int64_t> allocations{0};
}  // namespace

// The standard lets a program replace these. Not inlined: GCC 12 takes the free of one that is for a mismatch
// with the operator that is not.
[[gnu::noinline]] void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace qvl::scheduling {
namespace {

TEST(SchedulerMemory, steps_and_endings_allocate_nothing_once_they_are_warm) {
  for (Algorithm algorithm : {Algorithm::round_robin, Algorithm::priority, Algorithm::load_balanced}) {
    Scheduler scheduler({.algorithm = algorithm, .capacities = {.memory = 1000}, .max_decode_batch = 3});
    for (RequestId id = 1; id <= 9; ++id) {
      ASSERT_FALSE(
          scheduler.arrive({.id = id,
                            .client = id % 4,
                            .holds = {.memory = 10},
                            .work = {.vision_steps = 4, .prompt_tokens = 100, .answer_tokens = 60}}));
    }
    const auto step = [&] {
      scheduler.to_prepare({});
      scheduler.admit({});
      scheduler.commit(scheduler.next({}), {.vision_us = 100, .prefill_us = 100, .decode_us = 100});
    };
    for (int i = 0; i < 60; ++i) step();
    const int64_t before = allocations;
    for (int i = 0; i < 60; ++i) step();
    EXPECT_EQ(allocations - before, 0) << to_string(algorithm);
    EXPECT_GT(scheduler.status().granted, 0u);
  }
}

}  // namespace
}  // namespace qvl::scheduling
