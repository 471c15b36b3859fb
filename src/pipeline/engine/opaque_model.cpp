#include "pipeline/engine/opaque_model.h"

#include <array>
#include <atomic>
#include <iterator>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "memory/admission.h"
#include "pipeline/memory_guard.h"
#include "pipeline/run_status.h"
#include "profiler/steady_clock.h"

namespace qvl {
namespace {

class Context final : public StepContext {
 public:
  Context(ThreadPool& pool, const detail::InferenceChannel& channel, const std::atomic<bool>& closed)
      : pool_(pool), channel_(channel), closed_(closed) {}

  bool cancelled() const override { return closed_ || channel_.early_end().has_value(); }

  void parallel_for(size_t count, size_t grain, const Body& body) override {
    if (grain == 0) fail(ErrorCode::usage, "parallel_for: grain: found 0, expected 1 or more");
    std::mutex mutex;
    std::exception_ptr error;
    pool_.parallel_for(count, grain, [&](size_t begin, size_t end, int) {
      try {
        body(begin, end);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
      }
    });
    if (error) std::rethrow_exception(error);
  }

 private:
  ThreadPool& pool_;
  const detail::InferenceChannel& channel_;
  const std::atomic<bool>& closed_;
};

// What all requests of a model share.
struct Shared {
  InferenceModel& model;
  SystemLayer& layer;
  const std::atomic<bool>& closed;
};

class OpaqueRequest final : public ScheduledRequest {
 public:
  OpaqueRequest(InferenceRequest request, std::shared_ptr<detail::InferenceChannel> channel,
                const Shared& shared)
      : ScheduledRequest(std::move(request), std::move(channel), shared.layer.requests()),
        model_(shared.model),
        layer_(shared.layer),
        closed_(shared.closed) {}

  scheduling::Work work() const override {
    // The first step is the scheduler's prompt: its last token gives the first one of the answer.
    return {.prepare_units = 1, .prompt_tokens = 1, .answer_tokens = static_cast<uint32_t>(needs_.steps)};
  }
  std::vector<MemoryNeed> needs() const override {
    return {{.part = MemoryPart::other, .bytes = needs_.memory_bytes}};
  }
  void begin() override;
  /// False where the answer ended.
  bool step();
  InferenceOutput finish(std::optional<FinishReason> reason) override;
  void give_back() noexcept override;

 private:
  void read() override;
  void take(InferenceStep made);

  InferenceModel& model_;
  SystemLayer& layer_;
  const std::atomic<bool>& closed_;
  InferenceNeeds needs_;
  std::vector<Reservation> held_;
  std::unique_ptr<InferenceJob> job_;  // gone before what it holds is given back
  Answer answer_;
  int64_t steps_ = 0;
  std::optional<Stopwatch> since_first_;  // since the first step ended
};

void OpaqueRequest::read() {
  with_memory_for("to prepare a request", [&] {
    const Stopwatch watch;
    job_ = model_.prepare(request_, channel_->stop_token());
    if (!job_) fail(ErrorCode::usage, "{}: prepare: found no job, expected one", model_.name());
    needs_ = job_->needs();
    if (needs_.steps < 1 || needs_.steps > InferenceNeeds::kMostSteps) {
      fail(ErrorCode::usage, "{}: needs: steps: found {}, expected 1 to {}", model_.name(), needs_.steps,
           InferenceNeeds::kMostSteps);
    }
    answer_.timings.preprocess_s = watch.seconds();
  });
}

void OpaqueRequest::begin() {
  counted_->begin();
  held_ = admit(layer_.memory().ledger(), "request: needs", needs());
  layer_.stages().add(Stage::queue, static_cast<int64_t>(age_s() * 1e9));
  channel_->admitted(answer_.text.capacity());
}

bool OpaqueRequest::step() {
  const Stopwatch watch;
  Context context(layer_.compute(), *channel_, closed_);
  InferenceStep made = with_memory_for("to compute a step", [&] {
    const StageZone zone = layer_.zone(Stage::step, id());
    return job_->step(context);
  });
  ++steps_;
  if (!since_first_) {
    answer_.timings.prefill_s = watch.seconds();
    since_first_.emplace();
  }
  const auto finish = made.finish;
  take(std::move(made));
  if (finish) {
    answer_.finish_reason = *finish;
  } else if (steps_ == needs_.steps) {
    answer_.finish_reason = FinishReason::length;
  }
  return !finish && steps_ < needs_.steps;
}

void OpaqueRequest::take(InferenceStep made) {
  if (made.text.empty() && made.tokens.empty()) return;
  if (answer_.text.empty() && answer_.tokens.empty()) answer_.timings.time_to_first_token_s = age_s();
  answer_.text += made.text;
  answer_.tokens.insert(answer_.tokens.end(), made.tokens.begin(), made.tokens.end());
  answer_.usage.completion_tokens = std::ssize(answer_.tokens);
  channel_->advance(made.text, answer_.usage.completion_tokens);
}

InferenceOutput OpaqueRequest::finish(std::optional<FinishReason> reason) {
  if (reason) answer_.finish_reason = *reason;
  if (since_first_) answer_.timings.decode_s = since_first_->seconds();
  return std::move(answer_);
}

void OpaqueRequest::give_back() noexcept {
  job_.reset();
  held_.clear();
  counted_.reset();
}

class OpaqueSteps final : public StepRunner {
 public:
  OpaqueSteps(SystemLayer& layer, Find find) : layer_(layer), find_(std::move(find)) {}

  scheduling::StepOutcome run(const scheduling::StepPlan& plan, const scheduling::UnitCosts& costs) override;
  std::vector<StepEnd>& ended() override { return ended_; }
  // A step is as long as it is: nobody's wait can be cut.
  int64_t patience_us(const scheduling::StepPlan&, const scheduling::UnitCosts&) const override { return 0; }
  void release_scratch() override {}

 private:
  void step(scheduling::RequestId id);

  SystemLayer& layer_;
  const Find find_;
  std::vector<StepEnd> ended_;
};

scheduling::StepOutcome OpaqueSteps::run(const scheduling::StepPlan& plan, const scheduling::UnitCosts&) {
  const auto now_us = [] { return steady_ns() / 1000; };
  ended_.clear();
  scheduling::StepOutcome outcome;
  const int64_t begin_us = now_us();
  if (plan.prefill) step(plan.prefill->id);
  const int64_t first_us = now_us();
  for (scheduling::RequestId id : plan.decode) step(id);
  outcome.prefill_us = first_us - begin_us;
  outcome.decode_us = now_us() - first_us;
  return outcome;
}

void OpaqueSteps::step(scheduling::RequestId id) {
  auto& request = static_cast<OpaqueRequest&>(*find_(id));
  if (request.channel().early_end()) return;  // ended next
  try {
    if (!request.step()) ended_.push_back({.id = id, .error = nullptr});
  } catch (...) {
    ended_.push_back({.id = id, .error = std::current_exception()});
  }
  layer_.between_steps();
}

class OpaqueModel final : public EngineModel {
 public:
  OpaqueModel(std::shared_ptr<InferenceModel> model, const SystemOptimizationConfig& config)
      : model_(std::move(model)),
        layer_(config, {.model = model_->name(), .status_folder = run_status_folder()}) {
    const std::array needs = {MemoryNeed{.part = MemoryPart::weights, .bytes = model_->memory_bytes()}};
    held_ = admit(layer_.memory().ledger(), model_->name() + ": the model needs", needs);
  }

  SystemLayer& layer() override { return layer_; }
  ComputeQueue& computing() override { return computing_; }
  std::unique_ptr<ScheduledRequest> request(InferenceRequest request,
                                            std::shared_ptr<detail::InferenceChannel> channel) override {
    return std::make_unique<OpaqueRequest>(std::move(request), std::move(channel),
                                           Shared{.model = *model_, .layer = layer_, .closed = closed_});
  }
  std::unique_ptr<StepRunner> steps(StepRunner::Find find, StepRunner::Between) override {
    return std::make_unique<OpaqueSteps>(layer_, std::move(find));
  }
  void close() override { closed_ = true; }

 private:
  const std::shared_ptr<InferenceModel> model_;
  SystemLayer layer_;
  std::vector<Reservation> held_;
  ComputeQueue computing_;
  std::atomic<bool> closed_{false};
};

}  // namespace

std::unique_ptr<EngineModel> engine_model(std::shared_ptr<InferenceModel> model,
                                          const SystemOptimizationConfig& config) {
  if (!model) fail(ErrorCode::usage, "model: found none, expected one");
  return std::make_unique<OpaqueModel>(std::move(model), config);
}

}  // namespace qvl
