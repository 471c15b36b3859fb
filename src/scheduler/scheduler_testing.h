// Requests and a machine small enough that a test can follow every step of the scheduler.
#pragma once

#include "scheduler/scheduler.h"

namespace qvl::scheduling {

inline constexpr Load kQuiet{};

inline SchedulerOptions small_machine(Algorithm algorithm = Algorithm::round_robin) {
  return {.algorithm = algorithm,
          .capacities = {.memory = 100},
          .reservation_permille = 1000,
          .max_decode_batch = 4,
          .prefill_chunk = 64,
          .least_prefill_chunk = 8,
          .vision_steps = 3,
          .max_stall_us = 1000,
          .cost_guess = {.vision_us = 400, .prefill_us = 50, .decode_us = 100}};
}

inline Request text(RequestId id, uint32_t prompt_tokens, uint32_t answer_tokens, uint64_t memory = 1) {
  return {.id = id,
          .holds = {.memory = memory},
          .work = {.prompt_tokens = prompt_tokens, .answer_tokens = answer_tokens}};
}
inline Request of_client(ClientId client, Request request) {
  request.client = client;
  return request;
}
inline Request of_class(RequestClass request_class, Request request) {
  request.request_class = request_class;
  return request;
}

inline Request due(int64_t us, Request request) {
  request.due_us = us;
  return request;
}

inline const StepPlan& admit_and_plan(Scheduler& scheduler) {
  scheduler.admit(kQuiet);
  return scheduler.next(kQuiet);
}

}  // namespace qvl::scheduling
