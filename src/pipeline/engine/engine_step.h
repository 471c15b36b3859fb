// Computes one step of the engine: what the scheduler has planned, for the requests it names.
#pragma once

#include <exception>
#include <functional>
#include <vector>

#include "pipeline/engine/engine_request.h"
#include "pipeline/engine/prompt_lookup.h"
#include "scheduler/scheduler.h"

namespace qvl {

/// A request that a step brought to its end.
struct StepEnd {
  scheduling::RequestId id;
  std::exception_ptr error;  ///< null: its answer is complete
};

/// Thread-compatible: the engine's thread alone. Borrows the runtime.
class EngineStep {
 public:
  static constexpr int64_t kBackgroundPatience_us = 1'000'000;
  /// Null where the request has ended.
  using Find = std::function<EngineRequest*(scheduling::RequestId)>;
  /// Told of a step that was put between the pieces of another one; ended() has those that are over.
  using Between = std::function<void(const scheduling::StepPlan&, const scheduling::StepOutcome&)>;

  EngineStep(detail::Runtime& runtime, Find find, Between between);

  /// Computes `plan`. What fails ends the request it failed for; where that cannot be told, all that were
  /// computed together. ended() then has those that are over. Decoders do not wait for blocks of the vision
  /// tower: their tokens are computed between its pieces as well, whenever those took half as long again as
  /// the tokens do.
  scheduling::StepOutcome run(const scheduling::StepPlan& plan, const scheduling::UnitCosts& costs);
  const std::vector<StepEnd>& ended() const { return ended_; }
  /// How long the decoders of `plan` may be made to wait for others: half as long again as their tokens take,
  /// or a second where all of them are background work.
  int64_t patience_us(const scheduling::StepPlan& plan, const scheduling::UnitCosts& costs) const;
  /// Gives the memory that steps share back to the pool.
  void release_scratch();

 private:
  // Where a pass is computed: that of a step and the one between its pieces must not share scratch.
  struct Place {
    Ops& ops;
    DecoderPass& pass;
  };
  void reserve(const scheduling::StepPlan& plan);
  void begin_pass();
  void see(const scheduling::StepPlan::Vision& vision);
  void decode_between();
  void add_prompt(const scheduling::StepPlan::Prefill& prefill);
  void add_decoder(scheduling::RequestId id, size_t guesses);
  void pass(Stage stage, const Place& place);
  void compute(Stage stage, const Place& place);
  void choose(const Place& place);
  void fail(EngineRequest& request);

  detail::Runtime& runtime_;
  const Find find_;
  const Between between_;
  Ops ops_between_;
  DecoderPass pass_between_;
  scheduling::StepPlan decoders_;  // of the step under way, for those between its pieces
  int64_t patience_us_ = 0;
  int64_t decoded_us_ = 0;  // when they had their last token
  int64_t between_us_ = 0;  // that steps between pieces took
  std::vector<StepEnd> ended_;
  // Of the pass under way: the chunk of a prompt first, so that its last row and those of decoders are
  // neighbours.
  std::vector<EngineRequest*> members_;
  std::vector<SequenceStep> steps_;
  size_t rows_ = 0;           // of logits that are wanted
  HomeVector<float> logits_;  // [rows_, vocabulary]
  LookupGauge lookup_;
};

}  // namespace qvl
