#include "scheduler/scheduler.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace qvl::scheduling {
namespace {

void expect(std::string_view option, int64_t found, int64_t least, int64_t most) {
  if (found >= least && found <= most) return;
  fail(ErrorCode::usage, "{}: found {}, expected {} to {}", option, found, least, most);
}

const SchedulerOptions& checked(const SchedulerOptions& options) {
  constexpr int64_t kMost = UINT32_MAX;
  expect("waiting requests", options.max_waiting, 1, 1'000'000);
  expect("requests being prepared", options.max_preparing, 1, kMost);
  expect("prepared requests of a class", options.max_prepared, 1, kMost);
  expect("decode batch", options.max_decode_batch, 1, 4096);
  expect("least prefill chunk", options.least_prefill_chunk, 1, kMost);
  expect("prefill chunk", options.prefill_chunk, options.least_prefill_chunk, kMost);
  expect("vision steps", options.vision_steps, 1, kMost);
  expect("longest stall in us", options.max_stall_us, 0, kMost);
  expect("ageing", options.ageing, 1, kMost);
  return options;
}

std::unique_ptr<Policy> policy_of(const SchedulerOptions& options) {
  if (options.scheduling == Scheduling::disabled) return std::make_unique<Policy>();
  return make_policy(options.algorithm, options.ageing);
}

// Those without a deadline are due last, those that are due together in the order of their arrival.
bool is_due_before(const Job& a, const Job& b) {
  const auto due_a = a.request.due_us, due_b = b.request.due_us;
  if (due_a == due_b) return a.order < b.order;
  return due_a && (!due_b || *due_a < *due_b);
}

// What `budget_us` is enough for, within [least, most].
uint32_t units_within(int64_t budget_us, int64_t unit_us, uint32_t least, uint32_t most) {
  return static_cast<uint32_t>(std::clamp<int64_t>(budget_us / unit_us, std::min(least, most), most));
}

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options)
    : options_(checked(options)),
      resources_(options.capacities, options.reservation_permille),
      costs_(options.cost_guess),
      policy_(policy_of(options)) {
  plan_.decode.reserve(options.max_decode_batch);
  completed_.reserve(options.max_decode_batch + 1);
}

bool Scheduler::reserves() const { return options_.scheduling == Scheduling::enabled; }

std::optional<ArrivalRefusal> Scheduler::arrive(const Request& request) {
  using Reason = ArrivalRefusal::Reason;
  const auto refuse = [&](Reason reason, std::string message) {
    ++totals_.refused;
    return ArrivalRefusal{reason, std::move(message)};
  };
  if (find(waiting_, request.id) != nullptr || find(granted_, request.id) != nullptr) {
    return refuse(Reason::duplicate_id, fmt::format("request {} is under way already", request.id));
  }
  if (waiting_.size() >= options_.max_waiting) {
    return refuse(Reason::queue_full, fmt::format("{} requests are waiting already", waiting_.size()));
  }
  const auto refusal = resources_.refusal_of(request.holds, Bound::capacities);
  if (reserves() && refusal && !refusal->can_ever_fit())
    return refuse(Reason::never_fits, refusal->message());

  Job job{.request = request, .left = request.work, .order = arrivals_++};
  if (request.work.prepare_units == 0) {
    QVL_CHECK(request.work.prompt_tokens >= 1);
    job.phase = Job::Phase::prepared;
  }
  waiting_.push_back(std::move(job));
  return std::nullopt;
}

const std::vector<RequestId>& Scheduler::to_prepare(const Load& load, uint32_t most) {
  to_prepare_.clear();
  candidates_.clear();
  size_t preparing = 0;
  std::array<uint32_t, kRequestClasses> ahead{};  // of each class, prepared or about to be
  const auto ahead_of = [&](const Job& job) -> uint32_t& {
    return ahead[static_cast<size_t>(job.request.request_class)];
  };
  for (Job& job : waiting_) {
    if (job.phase == Job::Phase::arrived) candidates_.push_back(&job);
    if (job.phase == Job::Phase::preparing) ++preparing;
    if (job.phase != Job::Phase::arrived) ++ahead_of(job);
  }
  const Situation at = situation(load);
  while (preparing < options_.max_preparing && to_prepare_.size() < most && !candidates_.empty()) {
    const Choice choice = take_best(candidates_, Slot::prepare, at);
    Job& job = *choice.job;
    if (ahead_of(job) >= options_.max_prepared) continue;
    ++ahead_of(job);
    ++preparing;
    give(choice, Slot::prepare);
    job.phase = Job::Phase::preparing;
    to_prepare_.push_back(job.request.id);
  }
  return to_prepare_;
}

bool Scheduler::prepared(RequestId id, const Amounts& holds, const Work& work) {
  Job* job = find(waiting_, id);
  if (job == nullptr) return false;
  QVL_CHECK(job->phase == Job::Phase::preparing && work.prompt_tokens >= 1);
  job->request.holds = holds;
  job->request.work = job->left = work;
  job->phase = Job::Phase::prepared;
  return true;
}

bool Scheduler::put_back(RequestId id) {
  Job* job = find(waiting_, id);
  if (job == nullptr) {
    Job* const granted = find(granted_, id);
    if (granted == nullptr) return false;
    waiting_.push_back(std::move(*granted));
    granted_.erase(granted_.begin() + (granted - granted_.data()));
    job = &waiting_.back();
  }
  QVL_CHECK(job->phase != Job::Phase::arrived);
  job->phase = Job::Phase::arrived;
  job->hold = {};
  job->request.holds = {};
  job->left = job->request.work;  // what became known of it is the better guess
  job->bypassed = 0;
  return true;
}

const Admission& Scheduler::admit(const Load& load, FunctionRef<bool(RequestId)> find_room) {
  admission_.granted.clear();
  forget_impossible();
  candidates_.clear();
  for (Job& job : waiting_) {
    if (job.phase == Job::Phase::prepared) candidates_.push_back(&job);
  }
  unfit_.clear();
  const Situation at = situation(load);
  while (!candidates_.empty()) {
    const Choice choice = take_best(candidates_, Slot::grant, at);
    if (grant(choice, find_room)) {
      for (Job* passed : unfit_) ++passed->bypassed;
    } else {
      unfit_.push_back(choice.job);
    }
    const auto waited_enough = [this](const Job* unfit) { return unfit->bypassed >= options_.max_bypass; };
    // Looking further would only find what may not be granted, or cost time for every request in the queue.
    if (unfit_.size() > options_.max_bypass || std::any_of(unfit_.begin(), unfit_.end(), waited_enough))
      break;
  }
  const auto is_granted = [](const Job& job) { return job.phase == Job::Phase::granted; };
  std::copy_if(std::move_iterator(waiting_.begin()), std::move_iterator(waiting_.end()),
               std::back_inserter(granted_), is_granted);
  std::erase_if(waiting_, is_granted);
  return admission_;
}

void Scheduler::forget_impossible() {
  admission_.impossible.clear();
  if (!reserves()) return;
  std::erase_if(waiting_, [this](const Job& job) {
    if (job.phase != Job::Phase::prepared) return false;
    const auto refusal = resources_.refusal_of(job.request.holds, Bound::capacities);
    if (!refusal || refusal->can_ever_fit()) return false;
    admission_.impossible.push_back({.id = job.request.id, .refusal = *refusal});
    ++totals_.refused;
    return true;
  });
}

bool Scheduler::grant(const Choice& choice, FunctionRef<bool(RequestId)> find_room) {
  Job& job = *choice.job;
  if (reserves()) {
    // What is left to others is in nobody's way.
    const bool alone = granted_.empty() && admission_.granted.empty();
    auto outcome = resources_.hold(job.request.holds, alone ? Bound::capacities : Bound::limits);
    auto* hold = std::get_if<ResourceHold>(&outcome);
    if (hold == nullptr || !find_room(job.request.id)) return false;
    job.hold = std::move(*hold);
  }
  give(choice, Slot::grant);
  job.phase = Job::Phase::granted;
  admission_.granted.push_back(job.request.id);
  return true;
}

const StepPlan& Scheduler::next(const Load& load) {
  plan_.vision.reset();
  plan_.prefill.reset();
  plan_.decode.clear();
  candidates_.clear();
  decoders_.clear();
  for (Job& job : granted_) (job.wants_compute() ? candidates_ : decoders_).push_back(&job);

  const Situation at = situation(load);
  plan_decode(at);
  if (!candidates_.empty()) {
    const Choice choice = take_best(candidates_, Slot::compute, at);
    give(choice, Slot::compute);
    plan_compute(*choice.job, at);
  }
  return plan_;
}

void Scheduler::plan_decode(const Situation& at) {
  while (!decoders_.empty() && plan_.decode.size() < options_.max_decode_batch) {
    const Choice choice = take_best(decoders_, Slot::decode, at);
    give(choice, Slot::decode);
    plan_.decode.push_back(choice.job->request.id);
  }
}

void Scheduler::plan_compute(const Job& job, const Situation& at) {
  const bool holds_up = !plan_.decode.empty();
  const auto planned = [&](StepPart part, uint32_t least, uint32_t most, int64_t budget_us) {
    return holds_up ? units_within(budget_us, costs_.us(part), least, most) : most;
  };
  const Work& left = job.left;
  const RequestId id = job.request.id;
  if (left.vision_steps > 0) {
    const uint32_t most =
        std::min({left.vision_steps, options_.vision_steps, std::max(left.most_vision_steps, uint32_t{1})});
    plan_.vision = {id, planned(StepPart::vision, 1, most, options_.max_stall_us)};
  } else {
    const uint32_t most = std::min(left.prompt_tokens, options_.prefill_chunk);
    const int64_t budget_us = policy_->prefill_budget_us(options_.max_stall_us, at);
    plan_.prefill = {id, job.request.work.prompt_tokens - left.prompt_tokens,
                     planned(StepPart::prefill, options_.least_prefill_chunk, most, budget_us)};
  }
}

const std::vector<RequestId>& Scheduler::commit(const StepPlan& plan, const StepOutcome& outcome) {
  if (plan.vision) {
    costs_.learn(StepPart::vision, plan.vision->steps, outcome.vision_us);
    if (Job* job = find(granted_, plan.vision->id)) {
      QVL_CHECK(plan.vision->steps <= job->left.vision_steps);
      job->left.vision_steps -= plan.vision->steps;
    }
  }
  if (plan.prefill) {
    costs_.learn(StepPart::prefill, plan.prefill->count, outcome.prefill_us);
    if (Job* job = find(granted_, plan.prefill->id)) {
      QVL_CHECK(plan.prefill->from == job->request.work.prompt_tokens - job->left.prompt_tokens &&
                plan.prefill->count <= job->left.prompt_tokens);
      job->left.prompt_tokens -= plan.prefill->count;
      if (job->left.prompt_tokens == 0 && job->left.answer_tokens > 0) --job->left.answer_tokens;
    }
  }
  if (!plan.decode.empty()) {
    costs_.learn(StepPart::decode, static_cast<uint32_t>(plan.decode.size()), outcome.decode_us);
  }
  for (RequestId id : plan.decode) {
    Job* job = find(granted_, id);
    if (job == nullptr) continue;
    QVL_CHECK(!job->wants_compute() && job->left.answer_tokens > 0);
    --job->left.answer_tokens;
  }
  return forget_completed();
}

const std::vector<RequestId>& Scheduler::forget_completed() {
  completed_.clear();
  std::erase_if(granted_, [this](const Job& job) {
    if (job.wants_compute() || job.left.answer_tokens > 0) return false;
    completed_.push_back(job.request.id);
    return true;
  });
  totals_.finished += completed_.size();
  return completed_;
}

void Scheduler::set_left(RequestId id, uint32_t vision_steps, uint32_t prompt_tokens) {
  Job* job = find(granted_, id);
  if (job == nullptr || !job->wants_compute()) return;
  QVL_CHECK(prompt_tokens >= 1);
  job->left.vision_steps = vision_steps;
  job->left.prompt_tokens = std::min(prompt_tokens, job->request.work.prompt_tokens);
}

bool Scheduler::end(RequestId id, Ending ending) {
  const auto has_id = [id](const Job& job) { return job.request.id == id; };
  if (std::erase_if(waiting_, has_id) + std::erase_if(granted_, has_id) == 0) return false;
  switch (ending) {
    case Ending::finished:
      ++totals_.finished;
      break;
    case Ending::cancelled:
      ++totals_.cancelled;
      break;
    case Ending::failed:
      ++totals_.failed;
      break;
  }
  return true;
}

void Scheduler::set_capacities(const Amounts& capacities) { resources_.set_capacities(capacities); }

void Scheduler::set_prefill_chunk(uint32_t tokens) {
  options_.prefill_chunk = std::max(tokens, options_.least_prefill_chunk);
}

SchedulerStatus Scheduler::status() const {
  SchedulerStatus status = totals_;
  for (const Job& job : waiting_) {
    if (job.phase == Job::Phase::arrived) ++status.arrived;
    if (job.phase == Job::Phase::preparing) ++status.preparing;
    if (job.phase != Job::Phase::prepared) continue;
    ++status.prepared;
    for (Resource resource : kResources) {
      status.waiting[static_cast<size_t>(resource)] += job.request.holds[resource] > 0 ? 1 : 0;
    }
  }
  status.granted = granted_.size();
  status.held = resources_.held();
  status.limits = resources_.limits();
  status.capacities = resources_.capacities();
  return status;
}

Situation Scheduler::situation(const Load& load) const {
  Situation at{.load = load, .costs = costs_, .max_decode_batch = options_.max_decode_batch};
  for (const std::vector<Job>* jobs : {&waiting_, &granted_}) {
    for (const Job& job : *jobs) {
      at.prompt_tokens += job.left.prompt_tokens;
      at.answer_tokens += job.left.answer_tokens;
      if (job.phase == Job::Phase::granted && !job.wants_compute()) ++at.decoders;
    }
  }
  return at;
}

// Among those that the policy does not tell from the one that goes first, the earliest deadline goes before
// it, unless that one was overtaken often enough.
Scheduler::Choice Scheduler::take_best(Candidates& from, Slot slot, const Situation& at) const {
  auto best = std::min_element(from.begin(), from.end(), [&](const Job* a, const Job* b) {
    const auto preference = policy_->preference(*a, *b, slot, at);
    return preference != 0 ? preference < 0 : a->order < b->order;
  });
  Job* const first = *best;
  if (first->overtaken[static_cast<size_t>(slot)] + 1 < options_.ageing) {
    for (auto other = from.begin(); other != from.end(); ++other) {
      if (!(*other)->request.due_us || !is_due_before(**other, **best)) continue;
      if (policy_->preference(*first, **other, slot, at) == 0) best = other;
    }
  }
  const Choice choice{.job = *best, .first = first};
  *best = from.back();
  from.pop_back();
  return choice;
}

void Scheduler::give(const Choice& choice, Slot slot) {
  policy_->taken(*choice.job, slot);
  uint32_t& overtaken = choice.first->overtaken[static_cast<size_t>(slot)];
  overtaken = choice.job == choice.first ? 0 : overtaken + 1;
}

Job* Scheduler::find(std::vector<Job>& jobs, RequestId id) {
  const auto found =
      std::find_if(jobs.begin(), jobs.end(), [id](const Job& job) { return job.request.id == id; });
  return found == jobs.end() ? nullptr : &*found;
}

}  // namespace qvl::scheduling
