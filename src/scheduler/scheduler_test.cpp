#include "scheduler/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "scheduler/scheduler_testing.h"

namespace qvl::scheduling {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Takes the plan's next step in no time worth mentioning, and says who is complete.
std::vector<RequestId> step(Scheduler& scheduler) {
  return scheduler.commit(admit_and_plan(scheduler), {.vision_us = 400, .prefill_us = 400, .decode_us = 100});
}

TEST(Scheduler, takes_no_more_vision_steps_at_a_time_than_a_request_allows) {
  Scheduler scheduler(small_machine());
  const Work work{
      .prepare_units = 1, .vision_steps = 5, .most_vision_steps = 2, .prompt_tokens = 1, .answer_tokens = 1};
  ASSERT_FALSE(scheduler.arrive({.id = 1, .holds = {}, .work = work}));
  scheduler.to_prepare(kQuiet);
  ASSERT_TRUE(scheduler.prepared(1, {}, work));
  scheduler.admit(kQuiet);
  for (uint32_t steps : {2u, 2u, 1u}) {
    const StepPlan& plan = scheduler.next(kQuiet);
    ASSERT_TRUE(plan.vision);
    EXPECT_EQ(plan.vision->steps, steps);
    scheduler.commit(plan, {.vision_us = 500});
  }
}

TEST(Scheduler, a_request_that_is_put_back_begins_again_in_its_old_place) {
  Scheduler scheduler(small_machine());
  const Work work{.prepare_units = 1, .vision_steps = 2, .prompt_tokens = 9, .answer_tokens = 2};
  for (RequestId id : {1, 2, 3}) ASSERT_FALSE(scheduler.arrive({.id = id, .holds = {}, .work = work}));
  EXPECT_THAT(scheduler.to_prepare(kQuiet, 2), ElementsAre(1, 2));
  EXPECT_TRUE(scheduler.put_back(2));  // while it is prepared
  EXPECT_THAT(scheduler.to_prepare(kQuiet, 0), IsEmpty());
  EXPECT_THAT(scheduler.to_prepare(kQuiet, 1), ElementsAre(2));
  ASSERT_TRUE(scheduler.prepared(1, {.memory = 30}, work));
  ASSERT_TRUE(scheduler.prepared(2, {.memory = 80}, work));
  EXPECT_THAT(scheduler.admit(kQuiet).granted, ElementsAre(1));
  const StepPlan plan = scheduler.next(kQuiet);
  ASSERT_TRUE(plan.vision);
  EXPECT_TRUE(scheduler.put_back(2));  // while it waits for its grant
  EXPECT_TRUE(scheduler.put_back(1));  // in the midst of a step
  EXPECT_THAT(scheduler.commit(plan, {.vision_us = 400}), IsEmpty());
  EXPECT_EQ(scheduler.status().held, Amounts{});
  EXPECT_EQ(scheduler.status().arrived, 3u);
  EXPECT_TRUE(scheduler.next(kQuiet).empty());
  EXPECT_THAT(scheduler.to_prepare(kQuiet), ElementsAre(1, 2, 3));
  ASSERT_TRUE(scheduler.prepared(1, {.memory = 30}, work));
  EXPECT_THAT(scheduler.admit(kQuiet).granted, ElementsAre(1));
  EXPECT_EQ(scheduler.next(kQuiet).vision->steps, 2u);  // all of its work is to be done again
  EXPECT_FALSE(scheduler.put_back(4));
  EXPECT_TRUE(scheduler.end(1, Ending::finished));
  EXPECT_FALSE(scheduler.put_back(1));
}

TEST(Scheduler, a_request_with_a_picture_goes_all_the_way) {
  Scheduler scheduler(small_machine());
  const Request arriving{.id = 7, .holds = {.memory = 10}, .work = {.prepare_units = 2}};
  ASSERT_FALSE(scheduler.arrive(arriving));
  EXPECT_THAT(scheduler.admit(kQuiet).granted, IsEmpty());
  EXPECT_THAT(scheduler.to_prepare(kQuiet), ElementsAre(7));
  EXPECT_THAT(scheduler.to_prepare(kQuiet), IsEmpty());
  EXPECT_TRUE(
      scheduler.prepared(7, {.memory = 30}, {.vision_steps = 4, .prompt_tokens = 100, .answer_tokens = 2}));
  EXPECT_THAT(scheduler.admit(kQuiet).granted, ElementsAre(7));
  EXPECT_EQ(scheduler.status().held, (Amounts{.memory = 30}));

  for (uint32_t steps : {3u, 1u}) {
    const StepPlan& plan = scheduler.next(kQuiet);
    ASSERT_TRUE(plan.vision && !plan.prefill);
    EXPECT_EQ(plan.vision->id, 7u);
    EXPECT_EQ(plan.vision->steps, steps);
    EXPECT_THAT(scheduler.commit(plan, {.vision_us = 500}), IsEmpty());
  }
  struct Chunk {
    uint32_t from, count;
  };
  for (Chunk chunk : {Chunk{0, 64}, Chunk{64, 36}}) {
    const StepPlan& plan = scheduler.next(kQuiet);
    ASSERT_TRUE(plan.prefill && !plan.vision && plan.decode.empty());
    EXPECT_EQ(plan.prefill->from, chunk.from);
    EXPECT_EQ(plan.prefill->count, chunk.count);
    EXPECT_THAT(scheduler.commit(plan, {.prefill_us = 500}), IsEmpty());
  }
  // The first of two answer tokens came with the prompt.
  const StepPlan& plan = scheduler.next(kQuiet);
  EXPECT_THAT(plan.decode, ElementsAre(7));
  EXPECT_THAT(scheduler.commit(plan, {.decode_us = 100}), ElementsAre(7));
  EXPECT_TRUE(scheduler.next(kQuiet).empty());
  EXPECT_EQ(scheduler.status().held, Amounts{});
  EXPECT_EQ(scheduler.status().finished, 1u);
}

TEST(Scheduler, a_request_without_an_answer_is_complete_with_its_prompt) {
  Scheduler scheduler(small_machine());
  ASSERT_FALSE(scheduler.arrive(text(1, 5, 0)));
  ASSERT_FALSE(scheduler.arrive(text(2, 5, 1)));
  EXPECT_THAT(step(scheduler), ElementsAre(1));
  EXPECT_THAT(step(scheduler), ElementsAre(2));
}

TEST(Scheduler, plans_what_others_have_not_done_and_what_was_lost) {
  Scheduler scheduler(small_machine());
  Request seeing = text(7, 100, 2);
  seeing.work.vision_steps = 8;
  ASSERT_FALSE(scheduler.arrive(seeing));
  scheduler.set_left(7, 0, 1);  // not granted: nothing is left out
  EXPECT_EQ(admit_and_plan(scheduler).vision->steps, 3u);
  scheduler.set_left(7, 2, 70);
  EXPECT_EQ(scheduler.next(kQuiet).vision->steps, 2u);
  scheduler.set_left(7, 8, 100);  // whoever had done it has failed
  EXPECT_EQ(scheduler.next(kQuiet).vision->steps, 3u);
  scheduler.set_left(7, 0, 70);
  const StepPlan& plan = scheduler.next(kQuiet);
  EXPECT_FALSE(plan.vision);
  EXPECT_EQ(plan.prefill->from, 30u);
  EXPECT_EQ(plan.prefill->count, 64u);
  scheduler.commit(plan, {});
  scheduler.set_left(7, 0, 1);
  EXPECT_EQ(scheduler.next(kQuiet).prefill->count, 1u);
  step(scheduler);
  scheduler.set_left(7, 0, 1);  // its prompt is computed
  EXPECT_THAT(scheduler.next(kQuiet).decode, ElementsAre(7));
}

TEST(Scheduler, arrivals_are_refused_with_a_reason) {
  SchedulerOptions options = small_machine();
  options.max_waiting = 2;
  Scheduler scheduler(options);
  ASSERT_FALSE(scheduler.arrive(text(1, 1, 1)));
  struct Case {
    Request request;
    ArrivalRefusal::Reason reason;
    const char* message;
  };
  using Reason = ArrivalRefusal::Reason;
  const auto expect_refusal = [&](const Case& c) {
    const auto refusal = scheduler.arrive(c.request);
    ASSERT_TRUE(refusal) << c.message;
    EXPECT_EQ(refusal->reason, c.reason);
    EXPECT_EQ(refusal->message, c.message);
  };
  expect_refusal({text(1, 1, 1), Reason::duplicate_id, "request 1 is under way already"});
  expect_refusal({text(2, 1, 1, 101), Reason::never_fits, "memory: 101 bytes asked, 100 of 100 free"});
  ASSERT_FALSE(scheduler.arrive(text(2, 1, 1, 100)));
  expect_refusal({text(3, 1, 1), Reason::queue_full, "2 requests are waiting already"});
  EXPECT_EQ(scheduler.status().refused, 3u);
}

TEST(Scheduler, a_request_that_turns_out_too_large_or_lost_its_room_is_refused_at_admission) {
  Scheduler scheduler(small_machine());
  ASSERT_FALSE(scheduler.arrive({.id = 1, .work = {.prepare_units = 1}}));
  ASSERT_FALSE(scheduler.arrive(text(2, 1, 1, 60)));
  scheduler.to_prepare(kQuiet);
  ASSERT_TRUE(scheduler.prepared(1, {.memory = 200}, {.prompt_tokens = 1}));
  scheduler.set_capacities({.memory = 50});
  const Admission& admission = scheduler.admit(kQuiet);
  EXPECT_THAT(admission.granted, IsEmpty());
  ASSERT_EQ(admission.impossible.size(), 2u);
  EXPECT_EQ(admission.impossible[0].id, 1u);
  EXPECT_EQ(admission.impossible[0].refusal.message(), "memory: 200 bytes asked, 50 of 50 free");
  EXPECT_EQ(admission.impossible[1].id, 2u);
  EXPECT_FALSE(scheduler.end(2, Ending::cancelled));
}

TEST(Scheduler, a_request_of_more_than_the_share_of_all_waits_until_it_is_alone) {
  SchedulerOptions options = small_machine();  // of 100 bytes
  options.reservation_permille = 500;
  options.max_bypass = 1;
  Scheduler scheduler(options);
  ASSERT_FALSE(scheduler.arrive(text(1, 1, 1, 30)));
  EXPECT_THAT(scheduler.admit(kQuiet).granted, ElementsAre(1));
  ASSERT_FALSE(scheduler.arrive(text(2, 1, 1, 60)));
  ASSERT_FALSE(scheduler.arrive(text(3, 1, 1, 10)));
  ASSERT_FALSE(scheduler.arrive(text(4, 1, 1, 10)));
  EXPECT_THAT(scheduler.admit(kQuiet).granted, ElementsAre(3));  // passes it, and is the only one that may
  EXPECT_THAT(scheduler.admit(kQuiet).granted, IsEmpty());
  EXPECT_TRUE(scheduler.end(1, Ending::finished));
  EXPECT_THAT(scheduler.admit(kQuiet).granted, IsEmpty());
  EXPECT_TRUE(scheduler.end(3, Ending::finished));
  const Admission& admission = scheduler.admit(kQuiet);
  EXPECT_THAT(admission.granted, ElementsAre(2));
  EXPECT_THAT(admission.impossible, IsEmpty());
  EXPECT_EQ(scheduler.status().held.memory, 60u);
  EXPECT_TRUE(scheduler.end(2, Ending::finished));
  EXPECT_THAT(scheduler.admit(kQuiet).granted, ElementsAre(4));
}

TEST(Scheduler, prepares_no_more_of_a_class_than_may_wait_for_their_grant) {
  SchedulerOptions options = small_machine();
  options.max_prepared = 2;
  Scheduler scheduler(options);
  const auto arrive = [&](RequestId id, RequestClass request_class) {
    return scheduler.arrive(
        {.id = id, .request_class = request_class, .holds = {}, .work = {.prepare_units = 1}});
  };
  for (RequestId id = 1; id <= 3; ++id) ASSERT_FALSE(arrive(id, RequestClass::background));
  EXPECT_THAT(scheduler.to_prepare(kQuiet), ElementsAre(1, 2));
  ASSERT_TRUE(scheduler.prepared(1, {}, {.prompt_tokens = 1, .answer_tokens = 1}));
  ASSERT_TRUE(scheduler.prepared(2, {}, {.prompt_tokens = 1, .answer_tokens = 1}));
  EXPECT_THAT(scheduler.to_prepare(kQuiet), IsEmpty());
  ASSERT_FALSE(arrive(4, RequestClass::interactive));
  EXPECT_THAT(scheduler.to_prepare(kQuiet), ElementsAre(4));
  EXPECT_THAT(scheduler.admit(kQuiet).granted, ElementsAre(1, 2));
  EXPECT_THAT(scheduler.to_prepare(kQuiet), ElementsAre(3));
}

TEST(Scheduler, requests_end_at_any_phase_and_leave_nothing_behind) {
  SchedulerOptions options = small_machine();
  options.max_preparing = 1;
  Scheduler scheduler(options);
  ASSERT_FALSE(scheduler.arrive({.id = 1, .holds = {}, .work = {.prepare_units = 1}}));
  ASSERT_FALSE(scheduler.arrive({.id = 2, .holds = {}, .work = {.prepare_units = 1}}));
  ASSERT_FALSE(scheduler.arrive(text(3, 1, 1, 100)));
  scheduler.admit(kQuiet);
  ASSERT_FALSE(scheduler.arrive(text(4, 1, 1, 100)));
  EXPECT_THAT(scheduler.to_prepare(kQuiet), ElementsAre(1));
  const SchedulerStatus before = scheduler.status();
  EXPECT_EQ(before.arrived, 1u);
  EXPECT_EQ(before.preparing, 1u);
  EXPECT_EQ(before.prepared, 1u);
  EXPECT_EQ(before.granted, 1u);

  const StepPlan plan = scheduler.next(kQuiet);
  EXPECT_TRUE(scheduler.end(1, Ending::cancelled));
  EXPECT_TRUE(scheduler.end(2, Ending::failed));
  EXPECT_TRUE(scheduler.end(3, Ending::finished));
  EXPECT_TRUE(scheduler.end(4, Ending::cancelled));
  EXPECT_FALSE(scheduler.end(4, Ending::cancelled));
  EXPECT_FALSE(scheduler.prepared(1, {}, {.prompt_tokens = 1}));
  EXPECT_THAT(scheduler.commit(plan, {}), IsEmpty());
  const SchedulerStatus after = scheduler.status();
  EXPECT_EQ(after.held, Amounts{});
  EXPECT_EQ(after.arrived + after.preparing + after.prepared + after.granted, 0u);
  EXPECT_EQ(after.finished, 1u);
  EXPECT_EQ(after.cancelled, 2u);
  EXPECT_EQ(after.failed, 1u);
}

TEST(Scheduler, small_requests_pass_a_large_one_a_bounded_number_of_times) {
  SchedulerOptions options = small_machine();
  options.max_bypass = 3;
  Scheduler scheduler(options);
  ASSERT_FALSE(scheduler.arrive(text(1, 1, 100, 50)));
  EXPECT_THAT(scheduler.admit(kQuiet).granted, ElementsAre(1));
  ASSERT_FALSE(scheduler.arrive(text(2, 1, 1, 80)));
  for (RequestId id = 3; id < 10; ++id) ASSERT_FALSE(scheduler.arrive(text(id, 1, 1, 1)));
  EXPECT_THAT(scheduler.admit(kQuiet).granted, ElementsAre(3, 4, 5));
  EXPECT_THAT(scheduler.admit(kQuiet).granted, IsEmpty());
  for (RequestId id : {3, 4, 5}) scheduler.end(id, Ending::cancelled);
  EXPECT_THAT(scheduler.admit(kQuiet).granted, IsEmpty());
  scheduler.end(1, Ending::cancelled);
  EXPECT_THAT(scheduler.admit(kQuiet).granted, ElementsAre(2, 6, 7, 8, 9));
}

TEST(Scheduler, a_request_without_room_waits_in_its_place_and_is_passed_so_often_and_no_more) {
  SchedulerOptions options = small_machine();
  options.max_bypass = 2;
  Scheduler scheduler(options);
  const auto all_but_one = [](RequestId id) { return id != 1; };
  ASSERT_FALSE(scheduler.arrive(text(1, 1, 1, 10)));
  for (RequestId id = 2; id <= 4; ++id) ASSERT_FALSE(scheduler.arrive(text(id, 1, 1, 10)));
  EXPECT_THAT(scheduler.admit(kQuiet, all_but_one).granted, ElementsAre(2, 3));
  EXPECT_EQ(scheduler.status().prepared, 2u);
  EXPECT_EQ(scheduler.status().held.memory, 20u);
  EXPECT_THAT(scheduler.admit(kQuiet, all_but_one).granted, IsEmpty());
  EXPECT_THAT(scheduler.admit(kQuiet).granted, ElementsAre(1, 4));
}

TEST(Scheduler, the_compute_half_is_cut_to_the_time_it_may_hold_up_decoders) {
  Scheduler scheduler(small_machine());
  ASSERT_FALSE(scheduler.arrive(text(1, 1, 100)));
  step(scheduler);  // from now on 1 decodes; a token of a prompt took 400 us
  ASSERT_FALSE(scheduler.arrive(text(2, 200, 1)));
  EXPECT_EQ(admit_and_plan(scheduler).prefill->count, 8u);  // the least, 3,200 us
  scheduler.commit(scheduler.next(kQuiet), {.prefill_us = 8 * 50, .decode_us = 100});
  // (400 * 7 + 50) / 8 = 356 us a token: two in 1,000 us, so again the least.
  EXPECT_EQ(scheduler.next(kQuiet).prefill->count, 8u);
  for (int i = 0; i < 15; ++i) scheduler.commit(scheduler.next(kQuiet), {.prefill_us = 1, .decode_us = 100});
  const int64_t unit_us = scheduler.costs().us(StepPart::prefill);
  EXPECT_LT(unit_us, 125);
  EXPECT_EQ(scheduler.next(kQuiet).prefill->count, std::min<int64_t>(1000 / unit_us, 64));
  EXPECT_THAT(scheduler.next(kQuiet).decode, ElementsAre(1));

  ASSERT_TRUE(scheduler.end(2, Ending::cancelled));
  ASSERT_FALSE(scheduler.arrive({.id = 3, .holds = {}, .work = {.vision_steps = 9, .prompt_tokens = 1}}));
  EXPECT_EQ(admit_and_plan(scheduler).vision->steps, 2u);  // of 400 us
  ASSERT_TRUE(scheduler.end(1, Ending::cancelled));
  EXPECT_EQ(scheduler.next(kQuiet).vision->steps, 3u);
}

TEST(Scheduler, round_robin_serves_clients_in_turn) {
  SchedulerOptions options = small_machine();
  options.max_decode_batch = 3;
  Scheduler scheduler(options);
  for (RequestId id = 1; id <= 4; ++id) ASSERT_FALSE(scheduler.arrive(of_client(1, text(id, 64, 9))));
  ASSERT_FALSE(scheduler.arrive(of_client(2, text(5, 128, 9))));
  std::vector<RequestId> computed;
  scheduler.admit(kQuiet);
  for (int i = 0; i < 6; ++i) {
    const StepPlan& plan = scheduler.next(kQuiet);
    computed.push_back(plan.prefill->id);
    // Chunks of 64 beside decoders too.
    scheduler.commit(plan, {.prefill_us = 64, .decode_us = 100});
  }
  EXPECT_THAT(computed, ElementsAre(1, 5, 2, 5, 3, 4));
  // Client 1 has four decoders, client 2 one: it has a place in every batch of three.
  for (int i = 0; i < 5; ++i) {
    const StepPlan& plan = scheduler.next(kQuiet);
    EXPECT_THAT(plan.decode, testing::Contains(5)) << i;
    EXPECT_EQ(plan.decode.size(), 3u);
    scheduler.commit(plan, {.decode_us = 100});
  }
}

TEST(Scheduler, priority_grants_and_serves_the_highest_class_first) {
  SchedulerOptions options = small_machine(Algorithm::priority);
  options.max_decode_batch = 1;
  Scheduler scheduler(options);
  ASSERT_FALSE(scheduler.arrive(of_class(RequestClass::background, text(1, 64, 9, 40))));
  step(scheduler);
  ASSERT_FALSE(scheduler.arrive(of_class(RequestClass::normal, text(2, 64, 9, 40))));
  ASSERT_FALSE(scheduler.arrive(of_class(RequestClass::interactive, text(3, 64, 9, 40))));
  EXPECT_THAT(scheduler.admit(kQuiet).granted, ElementsAre(3));
  EXPECT_THAT(scheduler.next(kQuiet).decode, ElementsAre(1));
  while (scheduler.next(kQuiet).prefill) {
    EXPECT_EQ(scheduler.next(kQuiet).prefill->id, 3u);
    step(scheduler);
  }
  // The first of a class takes the only place at the next token.
  EXPECT_THAT(scheduler.next(kQuiet).decode, ElementsAre(3));
}

TEST(Scheduler, priority_gives_one_slot_in_so_many_to_the_oldest) {
  SchedulerOptions options = small_machine(Algorithm::priority);
  options.max_decode_batch = 1;
  options.ageing = 4;
  Scheduler scheduler(options);
  ASSERT_FALSE(scheduler.arrive(of_class(RequestClass::background, text(1, 1, 100))));
  ASSERT_FALSE(scheduler.arrive(of_class(RequestClass::interactive, text(2, 1, 100))));
  std::vector<RequestId> decoded;
  while (decoded.size() < 12) {
    const StepPlan& plan = admit_and_plan(scheduler);
    if (!plan.prefill && !plan.decode.empty()) decoded.push_back(plan.decode[0]);
    scheduler.commit(plan, {.prefill_us = 1, .decode_us = 100});
  }
  EXPECT_EQ(std::count(decoded.begin(), decoded.end(), 1u), 3);
  for (size_t i = 4; i < decoded.size(); ++i) EXPECT_EQ(decoded[i], decoded[i - 4]);
}

TEST(Scheduler, load_balanced_fills_the_batch_first_and_follows_the_load_after) {
  SchedulerOptions options = small_machine(Algorithm::load_balanced);
  options.max_decode_batch = 2;
  Scheduler scheduler(options);
  ASSERT_FALSE(scheduler.arrive(text(1, 60, 1, 30)));   // computes much
  ASSERT_FALSE(scheduler.arrive(text(2, 10, 60, 30)));  // decodes much
  ASSERT_FALSE(scheduler.arrive(text(3, 8, 60, 30)));   // decodes more
  EXPECT_THAT(scheduler.admit(kQuiet).granted, ElementsAre(3, 2, 1));
  EXPECT_EQ(scheduler.next(kQuiet).prefill->id, 3u);
  step(scheduler);
  EXPECT_EQ(scheduler.next(kQuiet).prefill->id, 2u);
  while (scheduler.next(kQuiet).decode.size() < 2) step(scheduler);

  scheduler.end(1, Ending::cancelled);
  ASSERT_FALSE(scheduler.arrive(text(4, 10, 60)));
  ASSERT_FALSE(scheduler.arrive(text(5, 60, 1)));
  scheduler.admit(kQuiet);
  EXPECT_EQ(scheduler.next({.compute_permille = 750, .bandwidth_permille = 1000}).prefill->id, 4u);
  EXPECT_EQ(scheduler.next({.compute_permille = 749, .bandwidth_permille = 1000}).prefill->id, 5u);
  EXPECT_EQ(scheduler.next({.compute_permille = 1000, .bandwidth_permille = 0}).prefill->id, 4u);
}

TEST(Scheduler, load_balanced_prepares_what_needs_least_of_a_busy_disk) {
  for (int io_permille : {250, 251}) {
    SchedulerOptions options = small_machine(Algorithm::load_balanced);
    options.max_preparing = 1;
    Scheduler scheduler(options);
    ASSERT_FALSE(scheduler.arrive({.id = 1, .holds = {}, .work = {.prepare_units = 5, .answer_tokens = 9}}));
    ASSERT_FALSE(scheduler.arrive({.id = 2, .holds = {}, .work = {.prepare_units = 2, .prompt_tokens = 9}}));
    EXPECT_THAT(scheduler.to_prepare({.io_permille = io_permille}), ElementsAre(io_permille == 250 ? 1 : 2));
  }
}

TEST(Scheduler, load_balanced_spreads_prompts_over_the_answers_beside_them) {
  SchedulerOptions options = small_machine(Algorithm::load_balanced);
  options.max_decode_batch = 1;
  options.max_stall_us = 1'000'000;
  options.least_prefill_chunk = 1;
  Scheduler scheduler(options);
  ASSERT_FALSE(scheduler.arrive(text(1, 1, 101)));
  scheduler.admit(kQuiet);
  scheduler.commit(scheduler.next(kQuiet), {.prefill_us = 50});
  ASSERT_FALSE(scheduler.arrive(text(2, 200, 1)));
  scheduler.admit(kQuiet);
  // 100 and 1 tokens to decode of 100 us, 200 of 50 us to compute: 10,000 us over 10,100 us, so a step of 100
  // us is beside 10/11 of that: one token.
  EXPECT_EQ(scheduler.next(kQuiet).prefill->count, 1u);
  scheduler.end(1, Ending::cancelled);
  EXPECT_EQ(scheduler.next(kQuiet).prefill->count, 64u);
}

TEST(Scheduler, without_scheduling_all_is_granted_in_order_of_arrival_and_nothing_is_held) {
  SchedulerOptions options = small_machine(Algorithm::priority);
  options.scheduling = Scheduling::disabled;
  Scheduler scheduler(options);
  ASSERT_FALSE(scheduler.arrive(of_class(RequestClass::background, text(1, 1, 1, 5000))));
  ASSERT_FALSE(scheduler.arrive(of_class(RequestClass::interactive, due(1, text(2, 1, 1, 5000)))));
  EXPECT_THAT(scheduler.admit(kQuiet).granted, ElementsAre(1, 2));
  EXPECT_EQ(scheduler.status().held, Amounts{});
  EXPECT_EQ(scheduler.next(kQuiet).prefill->id, 1u);
}

TEST(Scheduler, the_chunk_can_be_changed_between_steps_but_not_below_the_least) {
  Scheduler scheduler(small_machine());
  ASSERT_FALSE(scheduler.arrive(text(1, 500, 1)));
  EXPECT_EQ(admit_and_plan(scheduler).prefill->count, 64u);
  scheduler.set_prefill_chunk(100);
  EXPECT_EQ(scheduler.next(kQuiet).prefill->count, 100u);
  scheduler.set_prefill_chunk(0);
  EXPECT_EQ(scheduler.next(kQuiet).prefill->count, 8u);
}

TEST(Scheduler, a_plan_that_is_committed_twice_stops_the_program) {
  Scheduler scheduler(small_machine());
  ASSERT_FALSE(scheduler.arrive(text(1, 500, 1)));
  const StepPlan plan = admit_and_plan(scheduler);
  scheduler.commit(plan, {});
  EXPECT_DEATH(scheduler.commit(plan, {}), "internal error");
}

TEST(Scheduler, options_out_of_their_range_are_named) {
  struct Case {
    void (*change)(SchedulerOptions&);
    const char* message;
  };
  for (const Case& c : {
           Case{[](auto& o) { o.max_waiting = 0; }, "waiting requests: found 0, expected 1 to 1000000"},
           Case{[](auto& o) { o.max_preparing = 0; },
                "requests being prepared: found 0, expected 1 to 4294967295"},
           Case{[](auto& o) { o.max_prepared = 0; },
                "prepared requests of a class: found 0, expected 1 to 4294967295"},
           Case{[](auto& o) { o.max_decode_batch = 0; }, "decode batch: found 0, expected 1 to 4096"},
           Case{[](auto& o) { o.least_prefill_chunk = 0; },
                "least prefill chunk: found 0, expected 1 to 4294967295"},
           Case{[](auto& o) { o.prefill_chunk = 7; }, "prefill chunk: found 7, expected 8 to 4294967295"},
           Case{[](auto& o) { o.vision_steps = 0; }, "vision steps: found 0, expected 1 to 4294967295"},
           Case{[](auto& o) { o.max_stall_us = -1; },
                "longest stall in us: found -1, expected 0 to 4294967295"},
           Case{[](auto& o) { o.ageing = 0; }, "ageing: found 0, expected 1 to 4294967295"},
       }) {
    SchedulerOptions options = small_machine();
    c.change(options);
    try {
      Scheduler scheduler(options);
      FAIL() << c.message;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::usage);
      EXPECT_STREQ(error.what(), c.message);
    }
  }
}

}  // namespace
}  // namespace qvl::scheduling
