// Steps allocate nothing once their memory is there: counts every allocation of the process.
#include <gtest/gtest.h>

#include "base/counted_allocations.h"
#include "scheduler/scheduler.h"

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
