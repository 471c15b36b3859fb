#include "pipeline/engine/engine_step.h"

#include <algorithm>

#include "base/error.h"
#include "pipeline/memory_guard.h"
#include "pipeline/request_memory.h"
#include "profiler/steady_clock.h"

namespace qvl {
namespace {

int64_t now_us() { return steady_ns() / 1000; }

}  // namespace

void EngineStep::fail(EngineRequest& request) {
  ended_.push_back({.id = request.id(), .error = std::current_exception()});
}

scheduling::StepOutcome EngineStep::run(const scheduling::StepPlan& plan,
                                        const scheduling::UnitCosts& costs) {
  ended_.clear();
  members_.clear();
  steps_.clear();
  scheduling::StepOutcome outcome;
  const int64_t begin_us = now_us();
  if (plan.vision) see(*plan.vision);
  const int64_t pass_us = now_us();
  outcome.vision_us = pass_us - begin_us;
  if (plan.prefill) add_prompt(*plan.prefill);
  // A batch fills its rows with requests; one alone has room for guesses.
  const bool alone = !plan.prefill && plan.decode.size() == 1;
  const size_t guesses = alone ? lookup_.guesses() : 0;
  for (scheduling::RequestId id : plan.decode) add_decoder(id, guesses);
  const EngineRequest* request = members_.empty() ? nullptr : members_.front();
  const int64_t tokens = request != nullptr ? request->answer_tokens() : 0;
  if (request != nullptr) pass(plan.prefill ? Stage::prefill : Stage::decode);
  const int64_t took_us = now_us() - pass_us;
  if (alone && request != nullptr) {
    lookup_.learn(rows_ - 1, took_us,
                  static_cast<size_t>(std::max<int64_t>(request->answer_tokens() - tokens, 1)));
  }
  // Of a pass over both, decoders are taken to cost what they cost alone.
  const auto decoders = static_cast<int64_t>(plan.decode.size());
  outcome.decode_us =
      plan.prefill ? std::min(decoders * costs.us(scheduling::StepPart::decode), took_us / 2) : took_us;
  outcome.prefill_us = plan.prefill ? took_us - outcome.decode_us : 0;
  return outcome;
}

void EngineStep::see(const scheduling::StepPlan::Vision& vision) {
  EngineRequest& request = *find_(vision.id);
  try {
    request.see(vision.steps);
    runtime_.after_step();
  } catch (...) {
    fail(request);
  }
}

void EngineStep::add_prompt(const scheduling::StepPlan::Prefill& prefill) {
  EngineRequest& request = *find_(prefill.id);
  steps_.push_back(request.prompt_step(prefill.count));
  members_.push_back(&request);
}

void EngineStep::add_decoder(scheduling::RequestId id, size_t guesses) {
  EngineRequest& request = *find_(id);
  try {
    steps_.push_back(request.decode_step(guesses));
    members_.push_back(&request);
  } catch (...) {
    fail(request);
  }
}

void EngineStep::release_scratch() {
  logits_ = HomeVector<float>(runtime_.layer.home(MemoryPart::scratch));
  const RequestScope ends(runtime_);
}

// One pass over all members. What fails there, memory for the rows of all together or the weights themselves,
// ends all of them.
void EngineStep::pass(Stage stage) {
  const std::vector<EngineRequest*> together = members_;
  try {
    compute(stage);
    choose();
  } catch (...) {
    for (EngineRequest* member : together) fail(*member);
  }
}

void EngineStep::compute(Stage stage) {
  size_t rows = 0;
  for (const SequenceStep& step : steps_) rows += step.chunk.ids.size();
  const StageZone zone(runtime_.layer.stages(), runtime_.layer.tracer(), stage, members_.front()->id());
  with_memory_for(fmt::format("to compute {} tokens at once", rows),
                  [&] { runtime_.network.forward(steps_, runtime_.pass, runtime_.ops); });
}

// Logits of the last rows of each member that wants them, and the tokens they choose.
void EngineStep::choose() {
  const auto vocabulary = static_cast<size_t>(runtime_.files.config.text.vocab_size);
  rows_ = 0;
  for (const EngineRequest* member : members_) rows_ += member->rows_wanted();
  logits_.resize(rows_ * vocabulary);
  const Tensor& hidden = runtime_.pass.x;
  if (rows_ > 0) {
    runtime_.network.logits(hidden.row(hidden.rows() - rows_), static_cast<int64_t>(rows_), logits_.data(),
                            runtime_.ops);
  }
  runtime_.network.release_rows();
  runtime_.after_step();
  std::span<float> rest = logits_;
  for (EngineRequest* member : members_) {
    const auto wanted = rest.first(member->rows_wanted() * vocabulary);
    rest = rest.subspan(wanted.size());
    try {
      if (!member->take(wanted)) ended_.push_back({.id = member->id(), .error = nullptr});
    } catch (...) {
      fail(*member);
    }
  }
}

}  // namespace qvl
