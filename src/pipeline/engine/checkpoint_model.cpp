#include "pipeline/engine/checkpoint_model.h"

#include <utility>

#include "pipeline/engine/engine_request.h"
#include "pipeline/engine/engine_step.h"
#include "pipeline/runtime.h"

namespace qvl {
namespace {

class CheckpointModel final : public EngineModel {
 public:
  explicit CheckpointModel(Model model) : model_(std::move(model)) {}

  SystemLayer& layer() override { return model_.runtime().layer; }
  ComputeQueue& computing() override { return model_.runtime().computing; }
  std::unique_ptr<ScheduledRequest> request(InferenceRequest request,
                                            std::shared_ptr<detail::InferenceChannel> channel) override {
    return std::make_unique<EngineRequest>(std::move(request), std::move(channel), model_.runtime());
  }
  std::unique_ptr<StepRunner> steps(StepRunner::Find find, StepRunner::Between between) override {
    return std::make_unique<EngineStep>(model_.runtime(), std::move(find), std::move(between));
  }

 private:
  Model model_;
};

}  // namespace

std::unique_ptr<EngineModel> engine_model(Model model) {
  return std::make_unique<CheckpointModel>(std::move(model));
}

}  // namespace qvl
