// An account of requests kept beside the scheduler's own, against which its answers are checked.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"
#include "scheduler/scheduler.h"
#include "scheduler/simulated_requests_testing.h"

namespace qvl::scheduling {

/// Promises that were broken, one line each; the first few are kept.
class Violations {
 public:
  void expect(bool holds, std::optional<RequestId> id, const char* otherwise) {
    if (!holds && lines_.size() < 10)
      lines_.push_back(id ? fmt::format("request {}: {}", *id, otherwise) : otherwise);
  }
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  std::vector<std::string> lines_;
};

struct ShadowRequest {
  enum class State : uint8_t { unseen, unprepared, preparing, prepared, granted, over };
  State state = State::unseen;
  Work left;

  bool wants_compute() const { return left.vision_steps + left.prompt_tokens > 0; }
  bool is_done() const { return !wants_compute() && left.answer_tokens == 0; }
};

/// Every request from its arrival to its end, and the sum of what those granted hold.
class ShadowRequests {
 public:
  using State = ShadowRequest::State;

  ShadowRequests(const SchedulerOptions& options, const std::vector<SimulatedRequest>& requests,
                 Violations& violations)
      : options_(options), requests_(requests), violations_(violations), shadows_(requests.size()) {
    change_capacities(1000);
  }

  const ShadowRequest& operator[](RequestId id) const { return shadows_[id]; }
  const std::vector<RequestId>& granted() const { return granted_; }
  bool under_way() const { return waiting() > 0 || !granted_.empty(); }
  uint64_t answer_tokens() const { return answer_tokens_; }

  void arrived(RequestId id, const std::optional<ArrivalRefusal>& refusal) {
    const bool takes =
        waiting() < options_.max_waiting && (!reserves() || fits(requests_[id].request.holds, capacities_));
    violations_.expect(takes == !refusal, id, "refused with room for it, or taken without");
    shadows_[id].left = requests_[id].request.work;
    if (refusal) {
      shadows_[id].state = State::over;
      ++refused_;
    } else {
      enter(id, requests_[id].request.work.prepare_units > 0 ? State::unprepared : State::prepared);
    }
  }

  void preparing(RequestId id) {
    expect_state(id, State::unprepared, "to be prepared again");
    enter(id, State::preparing);
    violations_.expect(count(State::preparing) <= options_.max_preparing, id, "one too many is prepared");
  }

  void prepared(RequestId id, bool known) {
    violations_.expect(known == (shadows_[id].state == State::preparing), id,
                       "prepared, and wrongly known or not");
    if (!known) return;
    shadows_[id].left = requests_[id].true_request.work;
    enter(id, State::prepared);
  }

  void ended(RequestId id, bool known) {
    violations_.expect(known == (shadows_[id].state != State::over), id, "ended, and wrongly known or not");
    if (!known) return;
    enter(id, State::over);
    ++ended_;
  }

  void completed(RequestId id) {
    expect_state(id, State::granted, "complete, and was not running");
    violations_.expect(shadows_[id].is_done(), id, "complete, with work left");
    enter(id, State::over);
    ++completed_;
  }

  /// The scheduler's capacities from now on.
  Amounts change_capacities(uint64_t permille) {
    Amounts capacities;
    for (Resource resource : kResources)
      capacities[resource] = options_.capacities[resource] * permille / 1000;
    limits_ = Resources(capacities, options_.reservation_permille).limits();
    return capacities_ = capacities;
  }

  void admitted(const Admission& admission, const Amounts& held) {
    for (const auto& impossible : admission.impossible) {
      expect_state(impossible.id, State::prepared, "refused while it was not waiting");
      violations_.expect(!fits(holds(impossible.id), capacities_), impossible.id,
                         "refused though it can fit");
      enter(impossible.id, State::over);
      ++refused_;
    }
    for (RequestId id : admission.granted) {
      expect_state(id, State::prepared, "granted while it was not waiting");
      enter(id, State::granted);
      const Amounts& bounds = granted_.size() == 1 ? capacities_ : limits_;
      // A capacity may have shrunk below what was held: then only those may be granted that hold none of it.
      for (Resource resource : kResources) {
        violations_.expect(!reserves() || holds(id)[resource] == 0 || held_[resource] <= bounds[resource], id,
                           "granted above a limit");
      }
    }
    violations_.expect(held == held_, std::nullopt,
                       "some request: what is held is not the sum of what requests hold");
    violations_.expect(!granted_.empty() || count(State::prepared) == 0, std::nullopt,
                       "some request: waits, and nothing is held");
  }

  void served(const StepPlan& plan) {
    if (plan.vision) serve(plan.vision->id).vision_steps -= plan.vision->steps;
    if (plan.prefill) {
      Work& left = serve(plan.prefill->id);
      left.prompt_tokens -= plan.prefill->count;
      if (left.prompt_tokens == 0 && left.answer_tokens > 0) answer(left);
    }
    for (RequestId id : plan.decode) answer(serve(id));
  }

  void committed() {
    for (RequestId id : granted_)
      violations_.expect(!shadows_[id].is_done(), id, "complete, and not said to be");
  }

  void at_end(const SchedulerStatus& status) {
    violations_.expect(status.held == Amounts{} && held_ == Amounts{}, std::nullopt,
                       "some request: still holds something");
    violations_.expect(status.arrived + status.preparing + status.prepared + status.granted == 0,
                       std::nullopt, "some request: left over");
    violations_.expect(status.finished == completed_ && status.refused == refused_ &&
                           status.cancelled + status.failed == ended_ &&
                           completed_ + refused_ + ended_ == requests_.size(),
                       std::nullopt, "some request: missing in the totals");
  }

 private:
  static bool fits(const Amounts& amounts, const Amounts& limits) {
    return std::all_of(kResources.begin(), kResources.end(),
                       [&](Resource resource) { return amounts[resource] <= limits[resource]; });
  }
  bool reserves() const { return options_.scheduling == Scheduling::enabled; }
  const Amounts& holds(RequestId id) const { return requests_[id].true_request.holds; }
  size_t& count(State state) { return counts_[static_cast<size_t>(state)]; }
  size_t waiting() const { return counts_[1] + counts_[2] + counts_[3]; }

  void expect_state(RequestId id, State state, const char* otherwise) {
    violations_.expect(shadows_[id].state == state, id, otherwise);
  }

  void enter(RequestId id, State state) {
    State& now = shadows_[id].state;
    if (now != State::unseen) --count(now);
    if (now == State::granted) std::erase(granted_, id);
    if (state == State::granted) granted_.push_back(id);
    for (Resource resource : kResources) {
      if (!reserves()) break;
      if (now == State::granted) held_[resource] -= holds(id)[resource];
      if (state == State::granted) held_[resource] += holds(id)[resource];
    }
    now = state;
    ++count(now);
  }

  Work& serve(RequestId id) { return shadows_[id].left; }
  void answer(Work& left) {
    --left.answer_tokens;
    ++answer_tokens_;
  }

  const SchedulerOptions& options_;
  const std::vector<SimulatedRequest>& requests_;
  Violations& violations_;
  std::vector<ShadowRequest> shadows_;
  std::vector<RequestId> granted_;
  std::array<size_t, 6> counts_{};
  Amounts capacities_, limits_, held_;
  uint64_t completed_ = 0, ended_ = 0, refused_ = 0, answer_tokens_ = 0;
};

}  // namespace qvl::scheduling
