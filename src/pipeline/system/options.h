// What a SystemOptimizationConfig means for each component.
#pragma once

#include "memory/memory_manager.h"
#include "profiler/system_profiler.h"
#include "qvl/system_config.h"
#include "scheduler/resource_queue.h"
#include "threads/thread_policy.h"

namespace qvl {

CpuSet cpu_set(const CpuMask& mask);
scheduling::Algorithm algorithm_of(SchedulingAlgorithm algorithm);
/// The following throw Error{usage} for a configuration out of its range.
ThreadManagerOptions thread_options(const SystemOptimizationConfig& config);
/// An interval below what the profiler can do becomes the least it can.
ProfilerOptions profiler_options(const SystemOptimizationConfig& config);
MemoryManagerOptions memory_options(const SystemOptimizationConfig& config);
scheduling::ResourceQueueOptions resource_options(const SystemOptimizationConfig& config,
                                                  const scheduling::Amounts& capacities);

}  // namespace qvl
