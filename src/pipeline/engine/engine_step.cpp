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

EngineStep::EngineStep(detail::Runtime& runtime, Find find, Between between)
    : runtime_(runtime),
      find_(std::move(find)),
      between_(std::move(between)),
      ops_between_(runtime.layer.compute(), runtime.network.forms().isa,
                   runtime.layer.home(MemoryPart::scratch)),
      pass_between_(runtime.layer.home(MemoryPart::scratch)),
      logits_(runtime.layer.home(MemoryPart::scratch)) {}

// All requests of an engine are of its model.
EngineRequest* EngineStep::find(scheduling::RequestId id) const {
  return static_cast<EngineRequest*>(find_(id));
}

void EngineStep::fail(EngineRequest& request) {
  ended_.push_back({.id = request.id(), .error = std::current_exception()});
}

scheduling::StepOutcome EngineStep::run(const scheduling::StepPlan& plan,
                                        const scheduling::UnitCosts& costs) {
  const Place place{.ops = runtime_.ops, .pass = runtime_.pass};
  reserve(plan);
  begin_pass();
  decoders_.decode = plan.decode;
  patience_us_ = patience_us(plan, costs);
  between_us_ = 0;
  preparation_wait_ns_ = 0;
  guesses_ = {};
  scheduling::StepOutcome outcome;
  decoded_us_ = now_us();
  const int64_t begin_us = decoded_us_;
  const int64_t patches = plan.vision ? see(*plan.vision) : 0;
  const int64_t pass_us = now_us();
  outcome.vision_us = pass_us - begin_us - between_us_;
  if (patches > 0) {
    runtime_.media_costs.learn_encoding(patches, static_cast<double>(outcome.vision_us) / 1e6);
  }
  if (plan.prefill) add_prompt(*plan.prefill);
  // A batch fills its rows with requests; one alone has room for guesses.
  const bool alone = !plan.prefill && plan.decode.size() == 1;
  const size_t guesses = alone ? lookup_.guesses() : 0;
  for (scheduling::RequestId id : plan.decode) add_decoder(id, guesses);
  const EngineRequest* request = members_.empty() ? nullptr : members_.front();
  const int64_t tokens = request != nullptr ? request->answer_tokens() : 0;
  if (request != nullptr) pass(plan.prefill ? Stage::prefill : Stage::decode, place);
  const int64_t took_us = now_us() - pass_us;
  if (alone && request != nullptr) {
    lookup_.learn(rows_ - 1, took_us,
                  static_cast<size_t>(std::max<int64_t>(request->answer_tokens() - tokens, 1)));
    guesses_ = request->guesses();
  }
  // Of a pass over both, decoders are taken to cost what they cost alone.
  const auto decoders = static_cast<int64_t>(plan.decode.size());
  outcome.decode_us =
      plan.prefill ? std::min(decoders * costs.us(scheduling::StepPart::decode), took_us / 2) : took_us;
  outcome.prefill_us = plan.prefill ? took_us - outcome.decode_us : 0;
  return outcome;
}

// So that nothing of this class runs out of memory half way: what has failed can be put down.
void EngineStep::reserve(const scheduling::StepPlan& plan) {
  const size_t most = plan.decode.size() + 1;
  ended_.reserve(most);
  members_.reserve(most);
  steps_.reserve(most);
}

void EngineStep::begin_pass() {
  ended_.clear();
  members_.clear();
  steps_.clear();
}

// The patches that went through a block of the tower; 0 where that failed.
int64_t EngineStep::see(const scheduling::StepPlan::Vision& vision) {
  EngineRequest& request = *find(vision.id);
  const int64_t waited_ns = request.cutting_wait_ns();
  try {
    const auto between = [&] { decode_between(); };
    const int64_t patches = request.see(vision.steps, between);
    preparation_wait_ns_ = request.cutting_wait_ns() - waited_ns;
    runtime_.after_step();
    return patches;
  } catch (...) {
    fail(request);
    return 0;
  }
}

// The picture has most of the time, and nobody's next token waits for more than a piece of it.
void EngineStep::decode_between() {
  const int64_t begin_us = now_us();
  if (decoders_.decode.empty() || begin_us - decoded_us_ < patience_us_) return;
  begin_pass();
  for (scheduling::RequestId id : decoders_.decode) add_decoder(id, 0);
  if (!members_.empty()) {
    // Without memory for a second pass they wait for the picture.
    const bool computed = try_pass(Stage::decode, {.ops = ops_between_, .pass = pass_between_});
    decoded_us_ = now_us();
    between_us_ += decoded_us_ - begin_us;
    if (computed) between_(decoders_, {.decode_us = decoded_us_ - begin_us});
  }
  begin_pass();
  std::erase_if(decoders_.decode, [this](scheduling::RequestId id) { return find(id) == nullptr; });
}

int64_t EngineStep::patience_us(const scheduling::StepPlan& plan, const scheduling::UnitCosts& costs) const {
  const bool hurried = std::any_of(plan.decode.begin(), plan.decode.end(), [this](scheduling::RequestId id) {
    const EngineRequest* request = find(id);
    return request != nullptr && request->request().request_class != RequestClass::background;
  });
  const auto decoders = static_cast<int64_t>(plan.decode.size());
  return hurried ? decoders * costs.us(scheduling::StepPart::decode) * 3 / 2 : kBackgroundPatience_us;
}

void EngineStep::add_prompt(const scheduling::StepPlan::Prefill& prefill) {
  EngineRequest& request = *find(prefill.id);
  try {
    steps_.push_back(request.prompt_step(prefill.count));
    members_.push_back(&request);
  } catch (...) {
    fail(request);
  }
}

void EngineStep::add_decoder(scheduling::RequestId id, size_t guesses) {
  EngineRequest* request = find(id);
  if (request == nullptr) return;  // it got its last token between pieces
  try {
    steps_.push_back(request->decode_step(guesses));
    members_.push_back(request);
  } catch (...) {
    fail(*request);
  }
}

void EngineStep::release_scratch() {
  logits_ = HomeVector<float>(runtime_.layer.home(MemoryPart::scratch));
  ops_between_.release_scratch();
  pass_between_.clear();
  const RequestScope ends(runtime_);
}

// One pass over all members, or where memory is short for the rows of all together one for each.
void EngineStep::pass(Stage stage, const Place& place) {
  if (!try_pass(stage, place)) pass_each(stage, place);
}

// False where memory is short: then nothing has changed. What else fails, the weights themselves, ends all.
bool EngineStep::try_pass(Stage stage, const Place& place) {
  try {
    compute(stage, place);
    choose(place);
  } catch (...) {
    if (is_memory_shortage(std::current_exception())) {
      undo(place);
      return false;
    }
    for (EngineRequest* member : members_) fail(*member);
  }
  return true;
}

// With the scratch that was taken for it.
void EngineStep::undo(const Place& place) {
  for (EngineRequest* member : members_) member->undo_step();
  place.pass.clear();
  place.ops.release_scratch();
  logits_ = HomeVector<float>(runtime_.layer.home(MemoryPart::scratch));
}

// Each has room for itself, or fails for itself.
void EngineStep::pass_each(Stage stage, const Place& place) {
  std::vector<EngineRequest*> members;
  std::vector<SequenceStep> steps;
  members.swap(members_);
  steps.swap(steps_);
  for (size_t i = 0; i < members.size(); ++i) {
    try {
      members_.assign(1, members[i]);
      steps_.assign(1, steps[i]);
      compute(stage, place);
      choose(place);
    } catch (...) {
      fail(*members[i]);
    }
  }
}

void EngineStep::compute(Stage stage, const Place& place) {
  size_t rows = 0;
  for (const SequenceStep& step : steps_) rows += step.chunk.ids.size();
  const StageZone zone = runtime_.layer.zone(stage, members_.front()->id());
  with_memory_for([&] { return fmt::format("to compute {} tokens at once", rows); },
                  [&] { runtime_.network.forward(steps_, place.pass, place.ops); });
}

// Logits of the last rows of each member that wants them, and the tokens they choose.
void EngineStep::choose(const Place& place) {
  const auto vocabulary = static_cast<size_t>(runtime_.files.config.text.vocab_size);
  rows_ = 0;
  for (const EngineRequest* member : members_) rows_ += member->rows_wanted();
  // Nothing of those of an earlier step is needed: not both at once.
  if (logits_.capacity() < rows_ * vocabulary)
    logits_ = HomeVector<float>(runtime_.layer.home(MemoryPart::scratch));
  logits_.resize(rows_ * vocabulary);
  const Tensor& hidden = place.pass.x;
  if (rows_ > 0) {
    runtime_.network.logits(hidden.row(hidden.rows() - rows_), static_cast<int64_t>(rows_), logits_.data(),
                            place.ops);
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
