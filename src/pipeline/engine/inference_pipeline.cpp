// OptimizedInferencePipeline: the engine behind its public face.
#include <deque>
#include <exception>
#include <utility>

#include "base/error.h"
#include "pipeline/engine/checkpoint_model.h"
#include "pipeline/engine/engine.h"
#include "pipeline/engine/opaque_model.h"
#include "pipeline/engine/performance_report.h"
#include "pipeline/engine/request_prompt.h"
#include "pipeline/memory_guard.h"
#include "pipeline/stopwatch.h"
#include "profiler/steady_clock.h"
#include "qvl/pipeline.h"

namespace qvl {
namespace detail {

class PipelineState {
 public:
  PipelineState(std::unique_ptr<EngineModel> model, const SystemOptimizationConfig& config)
      : model_(std::move(model)), config_(config), origin_(*model_), engine_(*model_, config) {}

  Engine& engine() { return engine_; }
  int64_t logits(const LogitsRequest& request, const LogitsSink& sink, const Listeners& listeners);
  RequestPlan plan(const InferenceRequest& request) {
    engine_.check_open();
    check_request(request);
    return model_->plan(request, engine_.outlook());
  }
  PerformanceMetrics metrics() const { return performance_metrics(engine_, *model_, config_, origin_); }

 private:
  std::unique_ptr<EngineModel> model_;  // outlives the engine
  SystemOptimizationConfig config_;
  MetricsOrigin origin_;
  Engine engine_;
};

int64_t PipelineState::logits(const LogitsRequest& request, const LogitsSink& sink,
                              const Listeners& listeners) {
  using End = InferenceRecord::End;
  engine_.check_open();
  const Stopwatch watch;
  engine_.record().submitted(steady_ns());
  InferenceRecord::Ended ended{.end = End::failed, .now_ns = 0};
  const auto record = [&](End end) {
    ended.end = end;
    ended.now_ns = steady_ns();
    ended.seconds = watch.seconds();
    ended.memory_percent = model_->layer().memory().report().percent_used();
    engine_.record().ended(ended);
  };
  try {
    const int64_t positions = model_->logits(
        request,
        [&](int64_t position, std::span<const float> row) {
          if (ended.first_token_s == 0) ended.first_token_s = watch.seconds();
          sink(position, row);
        },
        listeners);
    record(listeners.stop.stop_requested() ? End::cancelled : End::answered);
    return positions;
  } catch (...) {
    record(End::failed);
    throw;
  }
}

}  // namespace detail

namespace {

// So many requests of a batch are in the engine's queues at a time: more would only take memory there.
constexpr size_t kBatchWindow = 64;

// Who waits for a whole batch does not watch single tokens.
InferenceRequest in_background(InferenceRequest request) {
  if (request.request_class == RequestClass::normal) request.request_class = RequestClass::background;
  return request;
}

// An Error of a batch, with the request it is of; as it is where there is no memory for that.
std::exception_ptr with_place(const std::exception_ptr& error, size_t place) noexcept {
  try {
    try {
      std::rethrow_exception(error);
    } catch (const Error& problem) {
      fail(problem.code(), "request {}: {}", place, problem.what());
    }
  } catch (const Error&) {
    return std::current_exception();
  } catch (...) {
    return error;
  }
}

}  // namespace

OptimizedInferencePipeline::OptimizedInferencePipeline(Model model, const SystemOptimizationConfig& config) {
  with_memory_for("to make a pipeline", [&] {
    state_ = std::make_unique<detail::PipelineState>(engine_model(std::move(model), config), config);
  });
}
OptimizedInferencePipeline::OptimizedInferencePipeline(std::shared_ptr<InferenceModel> model,
                                                       const SystemOptimizationConfig& config) {
  with_memory_for("to make a pipeline", [&] {
    validate(config);
    state_ = std::make_unique<detail::PipelineState>(engine_model(std::move(model), config), config);
  });
}
OptimizedInferencePipeline::~OptimizedInferencePipeline() = default;
OptimizedInferencePipeline::OptimizedInferencePipeline(OptimizedInferencePipeline&&) noexcept = default;
OptimizedInferencePipeline& OptimizedInferencePipeline::operator=(OptimizedInferencePipeline&&) noexcept =
    default;

InferenceOutput OptimizedInferencePipeline::run_inference(const InferenceRequest& request) {
  return submit(request).result();
}

std::vector<InferenceOutput> OptimizedInferencePipeline::run_batch_inference(
    std::span<const InferenceRequest> requests) {
  std::vector<InferenceOutput> outputs;
  state().engine().check_open();
  outputs.reserve(requests.size());
  struct UnderWay {
    size_t place;
    InferenceStream stream;
  };
  std::deque<UnderWay> under_way;
  std::exception_ptr error;
  const auto take_oldest = [&] {
    try {
      outputs.push_back(under_way.front().stream.result());
    } catch (...) {
      if (!error) error = with_place(std::current_exception(), under_way.front().place);
    }
    under_way.pop_front();
  };
  for (size_t place = 0; place < requests.size(); ++place) {
    if (under_way.size() == kBatchWindow) take_oldest();
    try {
      under_way.push_back({place, submit(in_background(requests[place]))});
    } catch (...) {
      if (!error) error = with_place(std::current_exception(), place);
    }
  }
  while (!under_way.empty()) take_oldest();
  if (error) std::rethrow_exception(error);
  return outputs;
}

InferenceStream OptimizedInferencePipeline::submit(InferenceRequest request) {
  return state().engine().submit(std::move(request));
}

int64_t OptimizedInferencePipeline::logits(const LogitsRequest& request, const LogitsSink& sink,
                                           const Listeners& listeners) {
  return state().logits(request, sink, listeners);
}

RequestPlan OptimizedInferencePipeline::plan(const InferenceRequest& request) {
  return with_memory_for("to plan a request", [&] { return state().plan(request); });
}

PerformanceMetrics OptimizedInferencePipeline::get_performance_metrics() const {
  return with_memory_for("for the metrics", [&] { return state().metrics(); });
}

detail::PipelineState& OptimizedInferencePipeline::state() const {
  if (!state_) fail(ErrorCode::environment, "pipeline: it was moved from, and takes no more requests");
  return *state_;
}

void OptimizedInferencePipeline::cleanup() {
  if (state_) state_->engine().shutdown();
}

OptimizedInferencePipeline apply_system_level_optimizations(Model model,
                                                            const SystemOptimizationConfig& config) {
  return {std::move(model), config};
}

OptimizedInferencePipeline apply_system_level_optimizations(std::shared_ptr<InferenceModel> model,
                                                            const SystemOptimizationConfig& config) {
  return {std::move(model), config};
}

}  // namespace qvl
