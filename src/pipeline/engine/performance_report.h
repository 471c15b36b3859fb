// The metrics of a pipeline: of its requests, of their stages, of the machine.
#pragma once

#include "pipeline/engine/engine.h"
#include "qvl/pipeline.h"

namespace qvl {

/// Everything, at this moment. Thread-safe as its sources.
PerformanceMetrics performance_metrics(const Engine& engine, detail::Runtime& runtime,
                                       const SystemOptimizationConfig& config);

}  // namespace qvl
