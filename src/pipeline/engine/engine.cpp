#include "pipeline/engine/engine.h"

#include <algorithm>
#include <new>
#include <utility>

#include "base/error.h"
#include "memory/admission.h"
#include "pipeline/engine/engine_options.h"
#include "profiler/steady_clock.h"

namespace qvl {

namespace {

uint64_t held_bytes(detail::Runtime& runtime) { return runtime.layer.memory().ledger().report().held_bytes; }

}  // namespace

Engine::Engine(detail::Runtime& runtime, const SystemOptimizationConfig& config)
    : runtime_(runtime),
      algorithm_(engine_options(runtime, config).algorithm),
      held_before_(held_bytes(runtime)),
      scheduler_(engine_options(runtime, config)),
      step_(
          runtime,
          [this](scheduling::RequestId id) {
            const auto found = requests_.find(id);
            return found == requests_.end() ? nullptr : found->second.get();
          },
          [this](const scheduling::StepPlan& plan, const scheduling::StepOutcome& outcome) {
            commit(plan, outcome);
          }) {
  thread_.submit([this] { run(); });
}

Engine::~Engine() { shutdown(); }

InferenceStream Engine::submit(InferenceRequest request) {
  check_request(request);
  auto channel = std::make_shared<detail::InferenceChannel>(next_id_++, bell_);
  auto arrived = std::make_unique<EngineRequest>(std::move(request), channel, runtime_);
  {
    const std::lock_guard lock(mutex_);
    if (inbox_.closing) fail(ErrorCode::usage, "pipeline: it was cleaned up, and takes no more requests");
    inbox_.arrived.push_back(std::move(arrived));
  }
  record_.submitted(steady_ns());
  bell_->ring();
  return InferenceStream(std::move(channel));
}

void Engine::shutdown() {
  {
    const std::lock_guard lock(mutex_);
    inbox_.closing = true;
  }
  bell_->ring();
  thread_.shutdown(Shutdown::drain);
}

scheduling::SchedulerStatus Engine::status() const {
  const std::lock_guard lock(status_mutex_);
  return status_;
}

void Engine::run() {
  for (bool running = true; running;) {
    try {
      running = run_step();
    } catch (const std::bad_alloc&) {
      // Of the engine's own few bytes: nobody's fault, and everybody's loss.
      end_all(
          std::make_exception_ptr(Error(ErrorCode::limit, "not enough memory to go on with any request")));
    }
  }
}

// False where the engine is to end.
bool Engine::run_step() {
  const bool closing = take_inbox();
  end_cancelled();
  if (closing && requests_.empty()) {
    rest();
    return false;
  }
  start_preparing();
  admit();
  const bool computed = compute();
  publish_status();
  if (!computed) bell_->wait();
  return true;
}

void Engine::end_all(const std::exception_ptr& error) {
  for (auto next = requests_.begin(); next != requests_.end();) {
    const auto [id, request] = std::pair(next->first, next->second.get());
    ++next;
    if (preparing_.contains(id)) {
      request->channel().cancel();
    } else {
      end(id, End{.error = error});
    }
  }
}

void Engine::publish_status() {
  const std::lock_guard lock(status_mutex_);
  status_ = scheduler_.status();
}

// Whether the engine is to end. Everything that is told meanwhile is told again at the next step.
bool Engine::take_inbox() {
  taken_.arrived.clear();
  taken_.prepared.clear();
  {
    const std::lock_guard lock(mutex_);
    std::swap(taken_.arrived, inbox_.arrived);
    std::swap(taken_.prepared, inbox_.prepared);
    taken_.closing = inbox_.closing;
  }
  for (auto& request : taken_.arrived) arrive(std::move(request));
  for (const Prepared& prepared : taken_.prepared) take_prepared(prepared);
  if (taken_.closing) {
    for (const auto& [id, request] : requests_) request->channel().cancel();
  }
  return taken_.closing;
}

void Engine::arrive(std::unique_ptr<EngineRequest> request) {
  const scheduling::RequestId id = request->id();
  const InferenceRequest& asked = request->request();
  const auto refusal =
      scheduler_.arrive({.id = id,
                         .client = asked.client,
                         .request_class = static_cast<scheduling::RequestClass>(asked.request_class),
                         .holds = {},
                         .work = {.prepare_units = 1, .prompt_tokens = 1, .answer_tokens = 1}});
  requests_.emplace(id, std::move(request));
  if (refusal) end_with(id, Error(ErrorCode::limit, "request: " + refusal->message));
}

void Engine::take_prepared(const Prepared& prepared) {
  preparing_.erase(prepared.id);
  EngineRequest& request = *requests_.at(prepared.id);
  if (request.channel().cancelled()) return;  // ended next
  if (prepared.error) return end(prepared.id, End{.error = prepared.error});
  const auto needs = request.needs();
  scheduling::Amounts holds;
  holds.compute = share_of_one(scheduler_);
  for (const MemoryNeed& need : needs) {
    if (need.part != MemoryPart::scratch) holds.memory += need.bytes;  // scratch is everybody's
  }
  try {
    // With nobody else there, what does not fit now never will.
    if (scheduler_.status().granted == 0) {
      (void)qvl::admit(runtime_.layer.memory().ledger(), "request: needs", needs);
    }
    scheduler_.prepared(prepared.id, holds, request.work());
  } catch (const Error&) {
    end(prepared.id, End{.error = std::current_exception()});
  }
}

void Engine::end_cancelled() {
  ending_.clear();
  for (const auto& [id, request] : requests_) {
    if (request->channel().cancelled() && !preparing_.contains(id)) ending_.push_back(id);
  }
  for (scheduling::RequestId id : ending_) end(id, End{.reason = FinishReason::cancelled});
}

void Engine::start_preparing() {
  for (scheduling::RequestId id : scheduler_.to_prepare(runtime_.layer.load())) {
    preparing_.insert(id);
    EngineRequest& request = *requests_.at(id);
    auto submitted = runtime_.layer.threads().preprocess().try_submit([this, &request] { prepare(request); });
    if (!submitted) prepare(request);  // the pool has enough to do
  }
}

void Engine::prepare(EngineRequest& request) {
  Prepared prepared{.id = request.id(), .error = nullptr};
  try {
    request.prepare();
  } catch (...) {
    prepared.error = std::current_exception();
  }
  const std::lock_guard lock(mutex_);
  inbox_.prepared.push_back(std::move(prepared));
  bell_->ring();
}

// Another pipeline of the model may have changed it.
void Engine::follow_memory_limit() {
  const uint64_t cap = runtime_.layer.memory().ledger().cap_bytes();
  scheduling::Amounts capacities = scheduler_.resources().capacities();
  capacities.memory = cap - std::min(cap, held_before_);
  if (capacities != scheduler_.resources().capacities()) scheduler_.set_capacities(capacities);
}

void Engine::admit() {
  follow_memory_limit();
  const scheduling::Admission& admission = scheduler_.admit(runtime_.layer.load());
  for (const auto& impossible : admission.impossible) {
    end_with(impossible.id, Error(ErrorCode::limit, "request: " + impossible.refusal.message()));
  }
  for (scheduling::RequestId id : admission.granted) {
    try {
      requests_.at(id)->begin();
    } catch (...) {
      end(id, End{.error = std::current_exception()});
    }
  }
}

// False where there is nothing to compute.
bool Engine::compute() {
  scheduler_.set_prefill_chunk(static_cast<uint32_t>(runtime_.layer.prefill_chunk(kMostPromptTokens)));
  scheduler_.set_max_stall(patience_us_);
  const scheduling::StepPlan& plan = scheduler_.next(runtime_.layer.load());
  patience_us_ = step_.patience_us(plan, scheduler_.costs());
  if (plan.empty()) {
    rest();
    return false;
  }
  if (!turn_) turn_.emplace(runtime_.computing, runtime_.layer.threads());
  commit(plan, step_.run(plan, scheduler_.costs()));
  if (runtime_.computing.wanted()) turn_.reset();
  return true;
}

void Engine::commit(const scheduling::StepPlan& plan, const scheduling::StepOutcome& outcome) {
  scheduler_.commit(plan, outcome);
  for (const StepEnd& ended : step_.ended()) end(ended.id, End{.error = ended.error});
}

// Nothing is to be computed for now: memory and processors are for others.
void Engine::rest() {
  if (!turn_) return;
  step_.release_scratch();
  turn_.reset();
}

void Engine::end_with(scheduling::RequestId id, const Error& error) {
  end(id, End{.error = std::make_exception_ptr(error)});
}

void Engine::end(scheduling::RequestId id, const End& how) {
  const auto found = requests_.find(id);
  QVL_CHECK(found != requests_.end());
  const std::unique_ptr<EngineRequest> request = std::move(found->second);
  requests_.erase(found);
  InferenceRecord::Ended ended{.end = InferenceRecord::End::failed, .now_ns = 0};
  scheduling::Ending ending = scheduling::Ending::failed;
  std::optional<InferenceOutput> output;
  if (!how.error) {
    output = request->finish(how.reason);
    const bool cancelled = output->finish_reason == FinishReason::cancelled;
    ended.end = cancelled ? InferenceRecord::End::cancelled : InferenceRecord::End::answered;
    ending = cancelled ? scheduling::Ending::cancelled : scheduling::Ending::finished;
    ended.first_token_s = output->timings.time_to_first_token_s;
    ended.tokens = std::ssize(output->tokens);
  }
  scheduler_.end(id, ending);
  request->give_back();
  ended.seconds = request->age_s();
  ended.now_ns = steady_ns();
  runtime_.layer.after_request();
  ended.memory_percent = runtime_.layer.memory().report().percent_used();
  record_.ended(ended);
  output ? request->channel().finish(std::move(*output)) : request->channel().fail(how.error);
}

}  // namespace qvl
