// A model of the user's own as the engine's model: each of its steps is opaque.
#pragma once

#include <memory>

#include "pipeline/engine/engine_model.h"
#include "qvl/inference_model.h"
#include "qvl/system_config.h"

namespace qvl {

/// Its own system layer under `config`. Throws Error{usage} for a null model or a configuration out of its
/// range, Error{limit} where the model's own memory does not fit.
std::unique_ptr<EngineModel> engine_model(std::shared_ptr<InferenceModel> model,
                                          const SystemOptimizationConfig& config);

}  // namespace qvl
