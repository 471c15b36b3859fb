// The metrics of a pipeline: of its requests, of their stages, of the machine.
#pragma once

#include "pipeline/engine/engine.h"
#include "qvl/pipeline.h"

namespace qvl {

/// Everything, at this moment; `uptime_s` seconds after the pipeline was made. Thread-safe as its sources.
PerformanceMetrics performance_metrics(const Engine& engine, EngineModel& model,
                                       const SystemOptimizationConfig& config, double uptime_s);

}  // namespace qvl
