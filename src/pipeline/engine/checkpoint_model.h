// A loaded checkpoint as the engine's model.
#pragma once

#include <memory>

#include "pipeline/engine/engine_model.h"
#include "qvl/qvl.h"

namespace qvl {

/// Keeps the checkpoint loaded.
std::unique_ptr<EngineModel> engine_model(Model model);

}  // namespace qvl
