// OptimizedInferencePipeline: the engine behind its public face.
#include <deque>
#include <exception>
#include <utility>

#include "base/error.h"
#include "pipeline/engine/engine.h"
#include "pipeline/engine/performance_report.h"
#include "pipeline/stopwatch.h"
#include "qvl/pipeline.h"

namespace qvl {
namespace detail {

class PipelineState {
 public:
  PipelineState(Model model, const SystemOptimizationConfig& config)
      : model_(configured(std::move(model), config)), config_(config), engine_(model_.runtime(), config) {}

  Engine& engine() { return engine_; }
  PerformanceMetrics metrics() const {
    return performance_metrics(engine_, model_.runtime(), config_, age_.seconds());
  }

 private:
  static Model configured(Model model, const SystemOptimizationConfig& config) {
    model.runtime().configure(config);
    return model;
  }

  Model model_;  // outlives the engine
  SystemOptimizationConfig config_;
  Stopwatch age_;
  Engine engine_;
};

}  // namespace detail

namespace {

// So many requests of a batch are in the engine's queues at a time: more would only take memory there.
constexpr size_t kBatchWindow = 64;

// Who waits for a whole batch does not watch single tokens.
InferenceRequest in_background(InferenceRequest request) {
  if (request.request_class == RequestClass::normal) request.request_class = RequestClass::background;
  return request;
}

}  // namespace

OptimizedInferencePipeline::OptimizedInferencePipeline(Model model, const SystemOptimizationConfig& config) {
  state_ = std::make_unique<detail::PipelineState>(std::move(model), config);
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
  outputs.reserve(requests.size());
  std::deque<InferenceStream> under_way;
  std::exception_ptr error;
  const auto take_oldest = [&] {
    try {
      outputs.push_back(under_way.front().result());
    } catch (...) {
      if (!error) error = std::current_exception();
    }
    under_way.pop_front();
  };
  for (const InferenceRequest& request : requests) {
    if (under_way.size() == kBatchWindow) take_oldest();
    under_way.push_back(submit(in_background(request)));
  }
  while (!under_way.empty()) take_oldest();
  if (error) std::rethrow_exception(error);
  return outputs;
}

InferenceStream OptimizedInferencePipeline::submit(InferenceRequest request) {
  return state_->engine().submit(std::move(request));
}

PerformanceMetrics OptimizedInferencePipeline::get_performance_metrics() const { return state_->metrics(); }

void OptimizedInferencePipeline::cleanup() {
  if (state_) state_->engine().shutdown();
}

OptimizedInferencePipeline apply_system_level_optimizations(Model model,
                                                            const SystemOptimizationConfig& config) {
  return {std::move(model), config};
}

}  // namespace qvl
