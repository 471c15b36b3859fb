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
  using Find = std::function<EngineRequest*(scheduling::RequestId)>;

  /// `find` knows every request of a plan.
  EngineStep(detail::Runtime& runtime, Find find)
      : runtime_(runtime), find_(std::move(find)), logits_(runtime.layer.home(MemoryPart::scratch)) {}

  /// Computes `plan`. What fails ends the request it failed for; where that cannot be told, all that were
  /// computed together. ended() then has those that are over.
  scheduling::StepOutcome run(const scheduling::StepPlan& plan, const scheduling::UnitCosts& costs);
  const std::vector<StepEnd>& ended() const { return ended_; }
  /// Gives the memory that steps share back to the pool.
  void release_scratch();

 private:
  void see(const scheduling::StepPlan::Vision& vision);
  void add_prompt(const scheduling::StepPlan::Prefill& prefill);
  void add_decoder(scheduling::RequestId id, size_t guesses);
  void pass(Stage stage);
  void compute(Stage stage);
  void choose();
  void fail(EngineRequest& request);

  detail::Runtime& runtime_;
  const Find find_;
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
