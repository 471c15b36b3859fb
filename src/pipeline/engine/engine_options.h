// What the engine's scheduler is told of configuration and machine.
#pragma once

#include <cstdint>

#include "pipeline/engine/engine_model.h"
#include "scheduler/scheduler.h"

namespace qvl {

scheduling::SchedulerOptions engine_options(EngineModel& model, const SystemOptimizationConfig& config);

/// Of compute, what one request holds: so many are computed together at most.
uint64_t share_of_one(const scheduling::Scheduler& scheduler);

}  // namespace qvl
