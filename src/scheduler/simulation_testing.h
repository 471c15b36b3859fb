// Runs a scheduler through made-up requests on a made-up machine, and checks every decision it takes.
#pragma once

#include <queue>
#include <string>
#include <vector>

#include "scheduler/plan_checks_testing.h"
#include "scheduler/scheduler.h"
#include "scheduler/shadow_requests_testing.h"
#include "scheduler/simulated_requests_testing.h"

namespace qvl::scheduling {

/// What a simulated machine takes, in microseconds. A pass through the decoder reads all weights once, for
/// the tokens of a prompt and those of a batch together; the arithmetic of the prompt hides behind that read,
/// or the read behind the arithmetic. Vision has weights of its own and is a pass of its own.
struct MachineCosts {
  int64_t vision_us = 20'000;  ///< a step
  int64_t read_us = 40'000;    ///< the decoder's weights
  int64_t prefill_us = 400;    ///< the arithmetic of a token of a prompt
  int64_t decode_us = 2'000;   ///< a token of an answer: its own keys and values
  int64_t noise_permille = 200;
  uint64_t pauses_in = 1000;  ///< one in so many steps takes twenty times as long: the process was stopped
};

struct SimulationReport {
  std::vector<std::string> violations;  ///< of any promise; empty in a run that is right
  int64_t makespan_us = 0;
  uint64_t steps = 0;
  uint64_t mixed_steps = 0;  ///< that computed and decoded
  uint64_t answer_tokens = 0;
  uint64_t missed_deadlines = 0;              ///< of requests that finished
  SchedulerStatus status;                     ///< at the end
  std::array<int64_t, 3> mean_response_us{};  ///< from arrival to the end, by class; of those that finished
  std::array<int64_t, 3> worst_response_us{};
  TurnFigures compute_turns, decode_turns;
};

/// For the arrivals of a Scenario as it is by default.
inline SchedulerOptions options_for_arrivals(Algorithm algorithm) {
  return {.algorithm = algorithm,
          .capacities = {.compute = 8000, .memory = 4000, .io = 30, .gpu_memory = 1000},
          .max_stall_us = 100'000};
}

/// A queue of requests of all kinds, long enough that both halves of a step could always be used.
inline Scenario mixed_load(uint64_t seed) {
  return {.seed = seed,
          .requests = 1000,
          .mean_gap_us = 0,
          .longest_text = 2000,
          .long_answers_in = 2,
          .cancels_in = 1'000'000,
          .failures_in = 1'000'000};
}
inline SchedulerOptions options_for_mixed_load(Algorithm algorithm) {
  return {.algorithm = algorithm,
          .capacities = {.compute = 80'000, .memory = 5000, .io = 300, .gpu_memory = 10'000},
          .max_waiting = 1000,
          .max_stall_us = 100'000};
}

class Simulation {
 public:
  Simulation(const Scenario& scenario, const SchedulerOptions& options, const MachineCosts& machine = {})
      : scenario_(scenario),
        machine_(machine),
        numbers_(scenario.seed),
        requests_(make_requests(scenario, numbers_)),
        options_(options),
        scheduler_(options),
        shadows_(options_, requests_, violations_),
        plan_checks_(options_, requests_, shadows_, violations_) {
    for (const auto& request : requests_) {
      if (request.cancelled_us) cancels_.push({*request.cancelled_us, request.request.id});
    }
    served_steps_.resize(requests_.size());
  }

  /// Capacities become a random share of the options', at least `least_permille`, every `steps` steps.
  void change_capacities(uint64_t steps, uint64_t least_permille) {
    capacity_steps_ = steps;
    least_permille_ = least_permille;
  }

  SimulationReport run() {
    while (next_arrival_ < requests_.size() || shadows_.under_way()) {
      deliver_events();
      for (RequestId id : scheduler_.to_prepare(load_)) {
        shadows_.preparing(id);
        prepared_.push({now_us_ + requests_[id].prepare_us, id});
      }
      shadows_.admitted(scheduler_.admit(load_), scheduler_.resources().held());
      const StepPlan& plan = scheduler_.next(load_);
      plan_checks_.planned(plan, scheduler_.costs());
      if (!violations_.lines().empty()) break;
      plan.empty() ? wait_for_event() : compute(plan);
    }
    return report();
  }

 private:
  struct Event {
    int64_t at_us;
    RequestId id;
    bool operator>(const Event& other) const { return at_us > other.at_us; }
  };
  using Events = std::priority_queue<Event, std::vector<Event>, std::greater<>>;

  void deliver_events() {
    for (; next_arrival_ < requests_.size() && requests_[next_arrival_].arrives_us <= now_us_;
         ++next_arrival_) {
      const Request& request = requests_[next_arrival_].request;
      shadows_.arrived(request.id, scheduler_.arrive(request));
    }
    for (; !prepared_.empty() && prepared_.top().at_us <= now_us_; prepared_.pop()) {
      const Request& request = requests_[prepared_.top().id].true_request;
      shadows_.prepared(request.id, scheduler_.prepared(request.id, request.holds, request.work));
    }
    for (; !cancels_.empty() && cancels_.top().at_us <= now_us_; cancels_.pop()) {
      const RequestId id = cancels_.top().id;
      if (requests_[id].arrives_us <= now_us_) shadows_.ended(id, scheduler_.end(id, Ending::cancelled));
    }
    if (capacity_steps_ > 0 && report_.steps >= next_change_) {
      next_change_ += capacity_steps_;
      scheduler_.set_capacities(shadows_.change_capacities(numbers_.between(least_permille_, 1000)));
    }
  }

  void wait_for_event() {
    int64_t next_us = std::numeric_limits<int64_t>::max();
    if (next_arrival_ < requests_.size()) next_us = requests_[next_arrival_].arrives_us;
    if (!prepared_.empty()) next_us = std::min(next_us, prepared_.top().at_us);
    const bool there_is_one = next_us != std::numeric_limits<int64_t>::max();
    violations_.expect(there_is_one || !shadows_.under_way(), std::nullopt,
                       "some request: waits for nothing");
    if (!there_is_one) return;
    now_us_ = std::max(now_us_, next_us);
  }

  void compute(const StepPlan& plan) {
    const auto batch = static_cast<int64_t>(plan.decode.size());
    const int64_t vision_us = plan.vision ? noisy(machine_.vision_us * plan.vision->steps) : 0;
    const int64_t prompt_us = plan.prefill ? noisy(machine_.prefill_us * plan.prefill->count) : 0;
    const int64_t read_us = plan.prefill || batch > 0 ? noisy(machine_.read_us) : 0;
    const int64_t answer_us = machine_.decode_us * batch;
    const int64_t pass_us = std::max(prompt_us, read_us) + answer_us;

    // The pass is divided by what each half would have taken alone.
    const int64_t prompt_alone_us = plan.prefill ? std::max(prompt_us, read_us) : 0;
    const int64_t answer_alone_us = batch > 0 ? read_us + answer_us : 0;
    StepOutcome outcome{.vision_us = vision_us};
    if (pass_us > 0) {
      outcome.prefill_us = pass_us * prompt_alone_us / (prompt_alone_us + answer_alone_us);
      outcome.decode_us = pass_us - outcome.prefill_us;
    }
    const int64_t step_us = vision_us + pass_us;
    measure(load_.compute_permille, vision_us + prompt_us, step_us);
    measure(load_.bandwidth_permille, read_us + answer_us, step_us);
    now_us_ += step_us;
    ++report_.steps;
    if (prompt_us > 0 && batch > 0) ++report_.mixed_steps;

    fail_some(plan);
    shadows_.served(plan);
    for (RequestId id : scheduler_.commit(plan, outcome)) {
      shadows_.completed(id);
      if (requests_[id].due_us && now_us_ > *requests_[id].due_us) ++report_.missed_deadlines;
      const int64_t response_us = now_us_ - requests_[id].arrives_us;
      const auto of = static_cast<size_t>(requests_[id].request.request_class);
      total_response_us_[of] += response_us;
      ++finished_[of];
      report_.worst_response_us[of] = std::max(report_.worst_response_us[of], response_us);
    }
    shadows_.committed();
  }

  // What a sampler would say of the last steps.
  static void measure(int& load_permille, int64_t busy_us, int64_t step_us) {
    load_permille += (static_cast<int>(1000 * std::min(busy_us, step_us) / step_us) - load_permille) / 4;
  }

  int64_t noisy(int64_t us) {
    return numbers_.noisy(us, machine_.noise_permille) * (numbers_.one_in(machine_.pauses_in) ? 20 : 1);
  }

  void fail_some(const StepPlan& plan) {
    std::vector<RequestId> ids = plan.decode;
    if (plan.vision) ids.push_back(plan.vision->id);
    if (plan.prefill) ids.push_back(plan.prefill->id);
    for (RequestId id : ids) {
      if (requests_[id].fails_in_step == served_steps_[id]++) {
        shadows_.ended(id, scheduler_.end(id, Ending::failed));
      }
    }
  }

  SimulationReport report() {
    report_.status = scheduler_.status();
    if (violations_.lines().empty()) shadows_.at_end(report_.status);
    report_.violations = violations_.lines();
    report_.makespan_us = now_us_;
    report_.answer_tokens = shadows_.answer_tokens();
    report_.compute_turns = plan_checks_.compute_turns();
    report_.decode_turns = plan_checks_.decode_turns();
    for (size_t of = 0; of < 3; ++of) {
      if (finished_[of] > 0) report_.mean_response_us[of] = total_response_us_[of] / finished_[of];
    }
    return report_;
  }

  Scenario scenario_;
  MachineCosts machine_;
  SeededNumbers numbers_;
  std::vector<SimulatedRequest> requests_;
  SchedulerOptions options_;
  Scheduler scheduler_;
  Violations violations_;
  ShadowRequests shadows_;
  PlanChecks plan_checks_;
  Events prepared_, cancels_;
  std::vector<uint32_t> served_steps_;
  size_t next_arrival_ = 0;
  int64_t now_us_ = 0;
  Load load_;
  uint64_t capacity_steps_ = 0, next_change_ = 0, least_permille_ = 1000;
  SimulationReport report_;
  std::array<int64_t, 3> total_response_us_{}, finished_{};
};

}  // namespace qvl::scheduling
