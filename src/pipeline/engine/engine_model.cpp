#include "pipeline/engine/engine_model.h"

#include <utility>

#include "base/error.h"

namespace qvl {

void ScheduledRequest::prepare() noexcept {
  try {
    read();
  } catch (...) {
    problem_ = std::current_exception();
  }
  preparation_.store(Preparation::done, std::memory_order_release);  // now it is the engine's again
}

void ScheduledRequest::take_preparation() {
  preparation_.store(Preparation::taken, std::memory_order_relaxed);
  if (doom_) std::rethrow_exception(std::exchange(doom_, nullptr));
  if (problem_) std::rethrow_exception(std::exchange(problem_, nullptr));
}

void ScheduledRequest::fail_after_preparation(std::exception_ptr error) noexcept {
  doom_ = std::move(error);
  channel_->cancel();  // there is nothing left to prepare it for
}

int64_t EngineModel::logits(const LogitsRequest&, const LogitsSink&, const Listeners&) {
  fail(ErrorCode::usage, "logits: a model of one's own has none");
}

RequestPlan EngineModel::plan(const InferenceRequest&, const EngineOutlook&) {
  fail(ErrorCode::usage, "plan: a model of one's own has none");
}

}  // namespace qvl
