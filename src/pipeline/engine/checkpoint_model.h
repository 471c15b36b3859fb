// A loaded checkpoint as the engine's model.
#pragma once

#include <memory>

#include "pipeline/engine/engine_model.h"
#include "qvl/qvl.h"
#include "qvl/system_config.h"

namespace qvl {

/// Keeps the checkpoint loaded, from now on under `config`. Throws as Runtime::configure.
std::unique_ptr<EngineModel> engine_model(Model model, const SystemOptimizationConfig& config);

}  // namespace qvl
