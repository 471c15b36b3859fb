// Computes one step of the engine: what the scheduler has planned, for the requests it names.
#pragma once

#include <vector>

#include "pipeline/engine/engine_model.h"
#include "pipeline/engine/engine_request.h"
#include "pipeline/engine/prompt_lookup.h"
#include "scheduler/scheduler.h"

namespace qvl {

/// Steps of requests to a checkpoint. Borrows the runtime.
class EngineStep final : public StepRunner {
 public:
  static constexpr int64_t kBackgroundPatience_us = 1'000'000;

  EngineStep(detail::Runtime& runtime, Find find, Between between);

  /// Decoders do not wait for blocks of the vision tower: their tokens are computed between its pieces as
  /// well, whenever those took half as long again as the tokens do.
  scheduling::StepOutcome run(const scheduling::StepPlan& plan, const scheduling::UnitCosts& costs) override;
  std::vector<StepEnd>& ended() override { return ended_; }
  int64_t preparation_wait_ns() const override { return preparation_wait_ns_; }
  GuessedTokens guesses() const override { return guesses_; }
  /// Half as long again as their tokens take, or a second where all of them are background work.
  int64_t patience_us(const scheduling::StepPlan& plan, const scheduling::UnitCosts& costs) const override;
  void release_scratch() override;

 private:
  // Where a pass is computed: that of a step and the one between its pieces must not share scratch.
  struct Place {
    Ops& ops;
    DecoderPass& pass;
  };
  void reserve(const scheduling::StepPlan& plan);
  EngineRequest* find(scheduling::RequestId id) const;
  void begin_pass();
  int64_t see(const scheduling::StepPlan::Vision& vision);
  void decode_between();
  void add_prompt(const scheduling::StepPlan::Prefill& prefill);
  void add_decoder(scheduling::RequestId id, size_t guesses);
  void pass(Stage stage, const Place& place);
  void pass_each(Stage stage, const Place& place);
  bool try_pass(Stage stage, const Place& place);
  void undo(const Place& place);
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
  int64_t preparation_wait_ns_ = 0;
  int64_t between_us_ = 0;  // that steps between pieces took
  std::vector<StepEnd> ended_;
  // Of the pass under way: the chunk of a prompt first, so that its last row and those of decoders are
  // neighbours.
  std::vector<EngineRequest*> members_;
  std::vector<SequenceStep> steps_;
  size_t rows_ = 0;           // of logits that are wanted
  HomeVector<float> logits_;  // [rows_, vocabulary]
  LookupGauge lookup_;
  GuessedTokens guesses_;  // of the last step
};

}  // namespace qvl
