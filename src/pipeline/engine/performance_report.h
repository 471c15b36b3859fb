// The metrics of a pipeline: of its requests, of their stages, of the machine.
#pragma once

#include "pipeline/engine/engine.h"
#include "pipeline/stopwatch.h"
#include "profiler/stage_statistics.h"
#include "qvl/pipeline.h"

namespace qvl {

/// What a model had done already when a pipeline over it was made: its metrics count from there.
struct MetricsOrigin {
  explicit MetricsOrigin(EngineModel& model)
      : stages(model.layer().stages().counts()), caches(model.caches()) {}

  const Stopwatch age;
  const StageCounts stages;
  const CacheMetrics caches;
};

/// Everything since `origin`, at this moment. Thread-safe as its sources.
PerformanceMetrics performance_metrics(const Engine& engine, EngineModel& model,
                                       const SystemOptimizationConfig& config, const MetricsOrigin& origin);

}  // namespace qvl
