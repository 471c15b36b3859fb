// What every plan of a step must keep, checked against the account beside the scheduler.
#pragma once

#include <algorithm>
#include <iterator>
#include <limits>
#include <vector>

#include "scheduler/scheduler.h"
#include "scheduler/shadow_requests_testing.h"
#include "scheduler/turn_checks_testing.h"

namespace qvl::scheduling {

class PlanChecks {
 public:
  PlanChecks(const SchedulerOptions& options, const std::vector<SimulatedRequest>& requests,
             const ShadowRequests& shadows, Violations& violations)
      : options_(options),
        requests_(requests),
        shadows_(shadows),
        violations_(violations),
        compute_turns_(clients_of(requests)),
        decode_turns_(clients_of(requests)),
        compute_overtaken_(requests.size()),
        decode_overtaken_(requests.size()) {}

  TurnFigures compute_turns() const { return compute_turns_.figures(); }
  TurnFigures decode_turns() const { return decode_turns_.figures(); }

  void planned(const StepPlan& plan, const UnitCosts& costs) {
    check_vision(plan, costs);
    check_prefill(plan, costs);
    check_decode(plan);
    const Halves halves = split(plan);
    violations_.expect(!plan.empty() || shadows_.granted().empty(), std::nullopt,
                       "some request: granted, and nothing runs");
    violations_.expect(halves.compute.served.size() == 1 || halves.compute.left_out.empty(), std::nullopt,
                       "some request: could compute");
    const bool full = plan.decode.size() == options_.max_decode_batch;
    violations_.expect(full || halves.decode.left_out.empty(), std::nullopt, "some request: could decode");
    const bool ordered = options_.scheduling == Scheduling::enabled;
    if (ordered && options_.algorithm == Algorithm::priority) check_classes(plan, halves);
    if (ordered && options_.algorithm == Algorithm::round_robin) {
      check_deadlines(halves.compute.served, all_of(halves.compute), compute_overtaken_);
      check_deadlines(plan.decode, all_of(halves.decode), decode_overtaken_);
    }
    count_turns(halves.compute, compute_turns_);
    count_turns(halves.decode, decode_turns_);
  }

 private:
  // Requests that took part in half a step, and those that could have.
  struct Half {
    std::vector<RequestId> served, left_out;
  };
  struct Halves {
    Half compute, decode;
  };

  static size_t clients_of(const std::vector<SimulatedRequest>& requests) {
    size_t most = 0;
    for (const auto& request : requests) most = std::max<size_t>(most, request.request.client);
    return most + 1;
  }

  const ShadowRequest* running(RequestId id) {
    const ShadowRequest& shadow = shadows_[id];
    const bool runs = shadow.state == ShadowRequest::State::granted;
    violations_.expect(runs, id, "planned without a grant");
    return runs ? &shadow : nullptr;
  }

  void check_vision(const StepPlan& plan, const UnitCosts& costs) {
    if (!plan.vision) return;
    const auto [id, steps] = *plan.vision;
    violations_.expect(!plan.prefill, id, "vision beside a chunk of a prompt");
    const ShadowRequest* shadow = running(id);
    if (shadow == nullptr) return;
    violations_.expect(steps >= 1 && steps <= std::min(shadow->left.vision_steps, options_.vision_steps), id,
                       "too many vision steps or none");
    const bool short_enough = steps * costs.us(StepPart::vision) <= options_.max_stall_us;
    violations_.expect(plan.decode.empty() || steps == 1 || short_enough, id, "its vision stalls decoders");
  }

  void check_prefill(const StepPlan& plan, const UnitCosts& costs) {
    if (!plan.prefill) return;
    const auto [id, from, count] = *plan.prefill;
    const ShadowRequest* shadow = running(id);
    if (shadow == nullptr) return;
    const uint32_t left = shadow->left.prompt_tokens;
    violations_.expect(shadow->left.vision_steps == 0, id, "its prompt goes before its picture");
    violations_.expect(from == requests_[id].true_request.work.prompt_tokens - left, id,
                       "its chunk begins elsewhere");
    violations_.expect(count >= 1 && count <= std::min(left, options_.prefill_chunk), id,
                       "its chunk is too long");
    const bool short_enough = count * costs.us(StepPart::prefill) <= options_.max_stall_us;
    violations_.expect(plan.decode.empty() || count <= options_.least_prefill_chunk || short_enough, id,
                       "its prompt stalls decoders");
  }

  void check_decode(const StepPlan& plan) {
    violations_.expect(plan.decode.size() <= options_.max_decode_batch, std::nullopt,
                       "some request: the batch is too large");
    std::vector<RequestId> ids = plan.decode;
    std::sort(ids.begin(), ids.end());
    violations_.expect(std::adjacent_find(ids.begin(), ids.end()) == ids.end(), std::nullopt,
                       "some request: decodes twice in a step");
    for (RequestId id : ids) {
      const ShadowRequest* shadow = running(id);
      violations_.expect(shadow == nullptr || (!shadow->wants_compute() && !shadow->is_done()), id,
                         "decodes before its prompt is done, or after its end");
    }
  }

  Halves split(const StepPlan& plan) const {
    Halves halves;
    for (RequestId id : shadows_.granted()) {
      const bool computes = shadows_[id].wants_compute();
      Half& half = computes ? halves.compute : halves.decode;
      const bool served =
          computes ? (plan.vision && plan.vision->id == id) || (plan.prefill && plan.prefill->id == id)
                   : std::find(plan.decode.begin(), plan.decode.end(), id) != plan.decode.end();
      (served ? half.served : half.left_out).push_back(id);
    }
    return halves;
  }

  // Of `peers`, the one that is due earliest; but the oldest of them where it was overtaken often enough.
  RequestId first_due(const std::vector<RequestId>& peers, std::vector<uint32_t>& overtaken) const {
    const auto due = [this](RequestId id) {
      return std::pair(requests_[id].request.due_us.value_or(std::numeric_limits<int64_t>::max()), id);
    };
    const RequestId oldest = *std::min_element(peers.begin(), peers.end());
    RequestId first = oldest;
    if (overtaken[oldest] + 1 < options_.ageing) {
      first = *std::min_element(peers.begin(), peers.end(),
                                [&](RequestId a, RequestId b) { return due(a) < due(b); });
    }
    overtaken[oldest] = first == oldest ? 0 : overtaken[oldest] + 1;
    return first;
  }
  template <typename Key>
  static std::vector<RequestId> peers_of(RequestId id, const std::vector<RequestId>& among, Key key) {
    std::vector<RequestId> peers;
    std::copy_if(among.begin(), among.end(), std::back_inserter(peers),
                 [&](RequestId other) { return key(other) == key(id); });
    return peers;
  }

  // Takes out of `left` what its order puts first: by class, deadline and arrival, or by arrival alone where
  // it is the oldest one's turn.
  RequestId first_of(std::vector<RequestId>& left, uint32_t& passed, std::vector<uint32_t>& overtaken) const {
    const auto class_of = [this](RequestId id) { return requests_[id].request.request_class; };
    const bool oldest = ++passed == options_.ageing;
    if (oldest) passed = 0;
    RequestId id = *std::min_element(left.begin(), left.end(), [&](RequestId a, RequestId b) {
      return oldest ? a < b : std::pair(class_of(a), a) < std::pair(class_of(b), b);
    });
    id = first_due(oldest ? std::vector{id} : peers_of(id, left, class_of), overtaken);
    std::erase(left, id);
    return id;
  }

  // No request waits behind a lower class in a slot it wants, nor behind a later deadline of its class, but
  // by age. Ids are in the order of arrival.
  void check_classes(const StepPlan& plan, const Halves& halves) {
    std::vector<RequestId> computes = all_of(halves.compute), decodes = all_of(halves.decode);
    for (RequestId id : halves.compute.served) {
      violations_.expect(id == first_of(computes, compute_passed_, compute_overtaken_), id,
                         "computes before a higher class or an earlier deadline");
    }
    for (RequestId id : plan.decode) {
      violations_.expect(id == first_of(decodes, decode_passed_, decode_overtaken_), id,
                         "has the place of a higher class or an earlier deadline");
    }
  }

  // Of one client, no request waits behind a later deadline, but by age. `served` in their order.
  void check_deadlines(const std::vector<RequestId>& served, std::vector<RequestId> left,
                       std::vector<uint32_t>& overtaken) {
    const auto client_of = [this](RequestId id) { return requests_[id].request.client; };
    for (RequestId id : served) {
      violations_.expect(id == first_due(peers_of(id, left, client_of), overtaken), id,
                         "goes before an earlier deadline of its client");
      std::erase(left, id);
    }
  }
  static std::vector<RequestId> all_of(const Half& half) {
    std::vector<RequestId> all = half.served;
    all.insert(all.end(), half.left_out.begin(), half.left_out.end());
    return all;
  }

  void count_turns(const Half& half, TurnChecks& turns) {
    got_.assign(turns.clients(), 0);
    wanted_more_.assign(turns.clients(), false);
    for (RequestId id : half.served) ++got_[requests_[id].request.client];
    for (RequestId id : half.left_out) wanted_more_[requests_[id].request.client] = true;
    turns.step(got_, wanted_more_);
  }

  const SchedulerOptions& options_;
  const std::vector<SimulatedRequest>& requests_;
  const ShadowRequests& shadows_;
  Violations& violations_;
  TurnChecks compute_turns_, decode_turns_;
  uint32_t compute_passed_ = 0, decode_passed_ = 0;             // slots since the oldest had one
  std::vector<uint32_t> compute_overtaken_, decode_overtaken_;  // of each request, as Job::overtaken
  std::vector<uint32_t> got_;
  std::vector<bool> wanted_more_;
};

}  // namespace qvl::scheduling
