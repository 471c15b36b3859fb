// Who goes first where the algorithm leaves it open: the earliest deadline, and nobody starves for it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/scheduler_testing.h"

namespace qvl::scheduling {
namespace {

using testing::ElementsAre;

// Those whose prompts are computed, in their order; each is complete with its prompt.
std::vector<RequestId> computed_in_order(Scheduler& scheduler) {
  std::vector<RequestId> computed;
  scheduler.admit(kQuiet);
  for (StepPlan plan = scheduler.next(kQuiet); !plan.empty(); plan = scheduler.next(kQuiet)) {
    computed.push_back(plan.prefill->id);
    EXPECT_THAT(scheduler.commit(plan, {.prefill_us = 64}), ElementsAre(computed.back()));
  }
  return computed;
}

TEST(Deadlines, order_requests_of_a_client_and_take_no_turn_of_another) {
  Scheduler scheduler(small_machine());
  for (const Request& request : {of_client(1, text(1, 9, 1)), of_client(1, due(900, text(2, 9, 1))),
                                 of_client(1, due(500, text(3, 9, 1))), of_client(2, text(4, 9, 1)),
                                 of_client(2, due(100, text(5, 9, 1)))}) {
    ASSERT_FALSE(scheduler.arrive(request));
  }
  EXPECT_THAT(computed_in_order(scheduler), ElementsAre(3, 5, 2, 4, 1));
}

TEST(Deadlines, order_requests_of_a_class_and_not_of_two) {
  Scheduler scheduler(small_machine(Algorithm::priority));
  const auto normal = RequestClass::normal, interactive = RequestClass::interactive;
  for (const Request& request :
       {of_class(normal, text(1, 9, 1)), of_class(normal, due(20, text(2, 9, 1))),
        of_class(interactive, text(3, 9, 1)), of_class(normal, due(10, text(4, 9, 1))),
        of_class(interactive, due(30, text(5, 9, 1))), of_class(normal, due(20, text(6, 9, 1)))}) {
    ASSERT_FALSE(scheduler.arrive(request));
  }
  EXPECT_THAT(computed_in_order(scheduler), ElementsAre(5, 3, 4, 2, 6, 1));
}

TEST(Deadlines, order_what_loads_the_machine_alike) {
  Scheduler scheduler(small_machine(Algorithm::load_balanced));
  for (const Request& request : {text(1, 9, 1), due(20, text(2, 9, 1)), due(5, text(3, 60, 1)),
                                 due(10, text(4, 9, 1)), text(5, 9, 1)}) {
    ASSERT_FALSE(scheduler.arrive(request));
  }
  // 3 computes a larger share of its time than the others, and the batch is not full.
  EXPECT_THAT(computed_in_order(scheduler), ElementsAre(4, 2, 1, 5, 3));
}

TEST(Deadlines, order_what_is_prepared_and_granted) {
  SchedulerOptions options = small_machine();
  options.max_preparing = 2;
  Scheduler scheduler(options);
  for (RequestId id = 1; id <= 3; ++id) {
    Request request{.id = id, .holds = {}, .work = {.prepare_units = 1}};
    if (id > 1) request.due_us = 100 - static_cast<int64_t>(id);
    ASSERT_FALSE(scheduler.arrive(request));
  }
  EXPECT_THAT(scheduler.to_prepare(kQuiet), ElementsAre(3, 2));
  for (RequestId id : {2, 3}) {
    ASSERT_TRUE(scheduler.prepared(id, {.memory = 60}, {.prompt_tokens = 9, .answer_tokens = 1}));
  }
  EXPECT_THAT(scheduler.admit(kQuiet).granted, ElementsAre(3));
}

TEST(Deadlines, leave_one_slot_in_so_many_to_a_request_without_one) {
  for (Algorithm algorithm : {Algorithm::round_robin, Algorithm::priority, Algorithm::load_balanced}) {
    SchedulerOptions options = small_machine(algorithm);
    options.max_decode_batch = 1;
    options.ageing = 4;
    Scheduler scheduler(options);
    ASSERT_FALSE(scheduler.arrive(text(1, 1, 100)));
    ASSERT_FALSE(scheduler.arrive(due(1, text(2, 1, 100))));
    scheduler.admit(kQuiet);
    for (int i = 0; i < 2; ++i) scheduler.commit(scheduler.next(kQuiet), {});  // both prompts
    std::vector<RequestId> decoded;
    for (int i = 0; i < 40; ++i) {
      const StepPlan& plan = scheduler.next(kQuiet);
      decoded.push_back(plan.decode.at(0));
      scheduler.commit(plan, {.decode_us = 100});
    }
    EXPECT_EQ(std::count(decoded.begin(), decoded.end(), 1u), 10) << to_string(algorithm);
    for (size_t i = 4; i < decoded.size(); ++i) EXPECT_EQ(decoded[i], decoded[i - 4]) << i;
  }
}

}  // namespace
}  // namespace qvl::scheduling
