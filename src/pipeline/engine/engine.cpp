#include "pipeline/engine/engine.h"

#include <algorithm>
#include <limits>
#include <new>
#include <utility>

#include "base/error.h"
#include "memory/admission.h"
#include "pipeline/engine/engine_options.h"
#include "pipeline/engine/engine_request.h"
#include "pipeline/engine/request_prompt.h"
#include "pipeline/memory_guard.h"
#include "profiler/steady_clock.h"

namespace qvl {

namespace {

// What nobody's request holds and no cache would give back.
uint64_t bytes_of_others(EngineModel& model) {
  const uint64_t held = model.layer().memory().ledger().report().held_bytes;
  return held - std::min(held, model.cached_bytes());
}

std::optional<detail::InferenceChannel::Clock::time_point> due_of(const InferenceRequest& request) {
  if (!request.deadline_ms) return std::nullopt;
  return detail::InferenceChannel::Clock::now() + std::chrono::milliseconds(*request.deadline_ms);
}

// On the clock of deadlines.
std::optional<int64_t> us_of(std::optional<detail::InferenceChannel::Clock::time_point> due) {
  if (!due) return std::nullopt;
  return std::chrono::duration_cast<std::chrono::microseconds>(due->time_since_epoch()).count();
}

InferenceRecord::End record_of(FinishReason reason) {
  if (reason == FinishReason::cancelled) return InferenceRecord::End::cancelled;
  if (reason == FinishReason::deadline) return InferenceRecord::End::overdue;
  return InferenceRecord::End::answered;
}

[[noreturn]] void fail_closed() {
  fail(ErrorCode::environment, "pipeline: it was cleaned up, and takes no more requests");
}

}  // namespace

Engine::Engine(EngineModel& model, const SystemOptimizationConfig& config)
    : model_(model),
      algorithm_(engine_options(model, config).algorithm),
      reserves_(config.resource_scheduling_enabled),
      held_before_(bytes_of_others(model)),
      scheduler_(engine_options(model, config)),
      step_(model.steps(
          [this](scheduling::RequestId id) {
            const auto found = requests_.find(id);
            return found == requests_.end() ? nullptr : found->second.get();
          },
          [this](const scheduling::StepPlan& plan, const scheduling::StepOutcome& outcome) {
            commit(plan, outcome);
          })),
      status_(scheduler_.status()),
      outlook_(current_outlook()) {
  thread_.submit([this] { run(); });
}

Engine::~Engine() { shutdown(); }

InferenceStream Engine::submit(InferenceRequest request) {
  return with_memory_for("to take a request", [&] {
    check_request(request);
    auto channel = std::make_shared<detail::InferenceChannel>(next_id_++, bell_, due_of(request));
    Requests arrived;
    arrived.emplace(channel->id(), model_.request(std::move(request), channel));
    {
      const std::lock_guard lock(mutex_);
      if (inbox_.closing) fail_closed();
      record_.submitted(steady_ns());  // before the engine can have ended it
      inbox_.arrived.merge(arrived);
    }
    bell_->ring();
    return InferenceStream(std::move(channel));
  });
}

void Engine::check_open() {
  const std::lock_guard lock(mutex_);
  if (inbox_.closing) fail_closed();
}

void Engine::shutdown() {
  {
    const std::lock_guard lock(mutex_);
    inbox_.closing = true;
  }
  model_.close();
  bell_->ring();
  thread_.shutdown(Shutdown::drain);
}

scheduling::SchedulerStatus Engine::status() const {
  const std::lock_guard lock(status_mutex_);
  return status_;
}

EngineOutlook Engine::outlook() const {
  const std::lock_guard lock(status_mutex_);
  return outlook_;
}

EngineOutlook Engine::current_outlook() const {
  const scheduling::Resources& resources = scheduler_.resources();
  const uint64_t held = resources.held().memory;
  const bool alone = scheduler_.status().granted == 0;
  const uint64_t limit = alone ? resources.capacities().memory : resources.limits().memory;
  return {.costs = scheduler_.costs(),
          .memory_left = reserves_ ? limit - std::min(limit, held) : std::numeric_limits<uint64_t>::max()};
}

void Engine::run() {
  for (bool running = true; running;) {
    try {
      running = run_step();
    } catch (const std::bad_alloc&) {  // of the engine's own few bytes: nobody's fault, and everybody's loss
      end_all();
    }
  }
}

// False where the engine is to end.
bool Engine::run_step() {
  const bool closing = take_inbox();
  end_early();
  if (closing && requests_.empty()) {
    rest();
    return false;
  }
  start_preparing();
  const bool some_ended = admit();
  const bool computed = compute();
  const int64_t idle_since_ns = steady_ns();
  publish_status();
  if (computed || some_ended) return true;
  const bool preparing = is_preparing();
  bell_->wait(next_due());
  if (preparing) record_.waited_for_preparation(steady_ns() - idle_since_ns);
  return true;
}

// Those that a thread of the pool has end as soon as it is done.
void Engine::end_all() noexcept {
  const auto error = std::make_exception_ptr(Error::out_of_memory());
  for (auto next = requests_.begin(); next != requests_.end();) {
    const auto id = next->first;
    ScheduledRequest& request = *next->second;
    ++next;
    if (request.preparation() == ScheduledRequest::Preparation::under_way) {
      request.fail_after_preparation(error);
    } else {
      end(id, {.error = error});
    }
  }
}

void Engine::publish_status() {
  const std::lock_guard lock(status_mutex_);
  status_ = scheduler_.status();
  outlook_ = current_outlook();
}

// Whether the engine is to end. Everything that is told meanwhile is told again at the next step.
bool Engine::take_inbox() {
  Inbox taken;
  {
    const std::lock_guard lock(mutex_);
    taken.arrived.swap(inbox_.arrived);
    taken.closing = inbox_.closing;
  }
  while (!taken.arrived.empty()) {
    auto node = taken.arrived.extract(taken.arrived.begin());
    ScheduledRequest& request = *node.mapped();
    requests_.insert(std::move(node));
    arrive(request);
  }
  take_prepared();
  if (taken.closing) {
    for (const auto& [id, request] : requests_) request->channel().cancel();
  }
  return taken.closing;
}

void Engine::arrive(ScheduledRequest& request) {
  const InferenceRequest& asked = request.request();
  attempt(request.id(), [&] {
    const auto refusal =
        scheduler_.arrive({.id = request.id(),
                           .client = asked.client,
                           .request_class = static_cast<scheduling::RequestClass>(asked.request_class),
                           .holds = {},
                           .work = {.prepare_units = 1, .prompt_tokens = 1, .answer_tokens = 1},
                           .due_us = us_of(request.channel().due())});
    if (refusal) fail(ErrorCode::limit, "request: {}", refusal->message);
  });
}

void Engine::take_prepared() {
  for (auto next = requests_.begin(); next != requests_.end();) {
    ScheduledRequest& request = *next->second;
    ++next;  // the request may end
    if (request.preparation() == ScheduledRequest::Preparation::done) take_prepared(request);
  }
}

void Engine::take_prepared(ScheduledRequest& request) {
  short_of_memory_ = false;  // of what it took meanwhile some is free again
  attempt(request.id(), [&] {
    request.take_preparation();
    if (request.channel().early_end()) return;  // ended next
    const auto needs = request.needs();
    scheduling::Amounts holds;
    holds.compute = share_of_one(scheduler_);
    holds.memory = request.pinned_bytes();
    for (const MemoryNeed& need : needs) {
      if (need.part != MemoryPart::scratch) holds.memory += need.bytes;  // scratch is everybody's
    }
    // With nobody else there, what does not fit now never will.
    if (requests_.size() == 1) {
      (void)qvl::admit(model_.layer().memory().ledger(), "request: needs", needs);
    }
    scheduler_.prepared(request.id(), holds, request.work());
  });
}

// Those that are being prepared end when whoever does that has stopped.
void Engine::end_early() {
  for (auto next = requests_.begin(); next != requests_.end();) {
    ScheduledRequest& request = *next->second;
    ++next;
    const auto reason = request.channel().early_end();
    if (!reason) continue;
    if (request.preparation() == ScheduledRequest::Preparation::under_way) {
      request.channel().stop_preparing();
    } else {
      end(request.id(), {.reason = reason});
    }
  }
}

// When the time of the next request is up that has not been told so.
std::optional<detail::InferenceChannel::Clock::time_point> Engine::next_due() const {
  std::optional<detail::InferenceChannel::Clock::time_point> next;
  for (const auto& [id, request] : requests_) {
    const detail::InferenceChannel& channel = request->channel();
    if (!channel.due() || channel.stop_token().stop_requested()) continue;
    next = next ? std::min(*next, *channel.due()) : *channel.due();
  }
  return next;
}

bool Engine::is_preparing() const {
  return std::any_of(requests_.begin(), requests_.end(), [](const auto& entry) {
    const auto preparation = entry.second->preparation();
    return preparation == ScheduledRequest::Preparation::under_way ||
           preparation == ScheduledRequest::Preparation::done;
  });
}

// Throws only where the pool has not got it.
void Engine::prepare(ScheduledRequest& request) {
  // The engine may be gone by the time the bell rings.
  const auto submitted = model_.layer().threads().preprocess().try_submit([&request, bell = bell_] {
    request.prepare();
    bell->ring();
  });
  if (submitted) return;
  const int64_t begin_ns = steady_ns();
  request.prepare();  // the pool has enough to do
  record_.waited_for_preparation(steady_ns() - begin_ns);
  bell_->ring();
}

// What one request has computed others need not compute again.
void Engine::take_kept() {
  for (auto next = requests_.begin(); next != requests_.end();) {
    const auto id = next->first;
    ScheduledRequest& request = *next->second;
    ++next;  // the request may end
    attempt(id, [&] {
      const auto left = request.take_kept();
      if (left) scheduler_.set_left(id, left->vision_steps, left->prompt_tokens);
    });
  }
}

// Background work where nobody hurries: one that waits is held up by those that compute.
ThreadManager::Work Engine::work() const {
  const bool hurried = std::any_of(requests_.begin(), requests_.end(), [](const auto& entry) {
    return entry.second->request().request_class != RequestClass::background;
  });
  return hurried ? ThreadManager::Work::foreground : ThreadManager::Work::background;
}

// False where the time of a request was up before the turn came.
bool Engine::take_turn() {
  if (turn_) return true;
  if (!place_) place_.emplace(model_.computing());
  if (!place_->wait(next_due())) return false;
  turn_.emplace(model_.layer().threads());
  return true;
}

// False where there is nothing to compute.
bool Engine::compute() {
  take_kept();
  scheduler_.set_prefill_chunk(static_cast<uint32_t>(model_.layer().prefill_chunk(kMostPromptTokens)));
  scheduler_.set_max_stall(patience_us_);
  const scheduling::StepPlan& plan = scheduler_.next(model_.layer().load());
  patience_us_ = step_->patience_us(plan, scheduler_.costs());
  if (plan.empty()) {
    rest();
    return false;
  }
  if (!take_turn()) return true;
  model_.layer().work_is(work());
  const int64_t begin_ns = steady_ns();
  const scheduling::StepOutcome outcome = step_->run(plan, scheduler_.costs());
  const int64_t waited_ns = step_->preparation_wait_ns();
  record_.computed(steady_ns() - begin_ns - waited_ns);
  record_.waited_for_preparation(waited_ns);
  const GuessedTokens guesses = step_->guesses();
  record_.guessed(guesses.guessed, guesses.accepted);
  commit(plan, outcome);
  if (!model_.computing().wanted()) return true;
  if (scheduler_.status().granted == 0) step_->release_scratch();
  leave_turn();
  return true;
}

void Engine::leave_turn() {
  // Whoever computes next on this model may be somebody who waits.
  if (turn_) model_.layer().work_is(ThreadManager::Work::foreground);
  turn_.reset();
  place_.reset();
}

// Who ends or is set back goes first: what was not computed does not count.
void Engine::commit(const scheduling::StepPlan& plan, const scheduling::StepOutcome& outcome) {
  for (StepEnd& ended : step_->ended()) {
    if (ended.error) {
      end_or_set_back(ended.id, std::move(ended.error));
    } else {
      end(ended.id, {});
    }
  }
  scheduler_.commit(plan, outcome);
}

// Nothing is to be computed for now: memory and processors are for others.
void Engine::rest() {
  if (turn_) step_->release_scratch();
  leave_turn();
}

void Engine::end_with(scheduling::RequestId id, const Error& error) {
  end(id, {.error = std::make_exception_ptr(error)});
}

// The engine's thread lets go of an exception before its request ends: who waits for that may be done with it
// at any time from then on.
void Engine::attempt(scheduling::RequestId id, FunctionRef<void()> step) noexcept {
  std::exception_ptr error;
  try {
    return step();
  } catch (...) {
    error = std::current_exception();
  }
  end_or_set_back(id, std::move(error));
}

// A request that memory was refused to waits for what others hold, as long as its answer may begin again.
void Engine::end_or_set_back(scheduling::RequestId id, std::exception_ptr error) noexcept {
  ScheduledRequest& request = *requests_.at(id);
  const bool may_wait = request.met_others() && !request.channel().has_begun() && is_memory_shortage(error);
  if (may_wait && set_back(id)) return;
  end(id, {.error = std::move(error)});
}

// Not known where reading it takes more memory than there is.
std::optional<double> Engine::memory_percent() const noexcept {
  try {
    return model_.layer().memory().report().percent_used();
  } catch (const std::bad_alloc&) {
    return std::nullopt;
  }
}

// Whatever runs out on the way, its caller hears of the end.
void Engine::end(scheduling::RequestId id, End how) noexcept {
  const auto found = requests_.find(id);
  QVL_CHECK(found != requests_.end());
  const std::unique_ptr<ScheduledRequest> request = std::move(found->second);
  requests_.erase(found);
  InferenceRecord::Ended ended{.end = InferenceRecord::End::failed, .now_ns = 0};
  scheduling::Ending ending = scheduling::Ending::failed;
  std::optional<InferenceOutput> output;
  if (!how.error) {
    try {
      output = request->finish(how.reason);
    } catch (...) {
      how.error = std::current_exception();
    }
  }
  if (output) {
    ended.end = record_of(output->finish_reason);
    const bool complete = ended.end == InferenceRecord::End::answered;
    ending = complete ? scheduling::Ending::finished : scheduling::Ending::cancelled;
    ended.first_token_s = output->timings.time_to_first_token_s;
    ended.tokens = std::ssize(output->tokens);
    ended.prompt_tokens = output->usage.prompt_tokens;
    ended.cached_tokens = output->usage.cached_tokens;
  }
  scheduler_.end(id, ending);
  request->give_back();
  (void)request->take_request();  // what it has borrowed goes before its caller hears of the end
  short_of_memory_ = false;
  model_.after_request();
  ended.memory_percent = memory_percent();
  // The clean-up is behind, which its caller waits for.
  ended.seconds = request->age_s();
  ended.now_ns = steady_ns();
  record_.ended(ended);
  if (output) return request->channel().finish(std::move(*output));
  std::exception_ptr told = as_error(how.error, "to go on with the request");
  how.error = nullptr;
  request->channel().fail(std::move(told));
}

}  // namespace qvl
