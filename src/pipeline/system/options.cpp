#include "pipeline/system/options.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace qvl {

CpuSet cpu_set(const CpuMask& mask) {
  CpuSet cpus;
  for (int cpu = 0; cpu < CpuSet::kMostCpus; ++cpu) {
    if (mask.contains(cpu)) cpus.add(cpu);
  }
  return cpus;
}

scheduling::Algorithm algorithm_of(SchedulingAlgorithm algorithm) {
  switch (algorithm) {
    case SchedulingAlgorithm::priority:
      return scheduling::Algorithm::priority;
    case SchedulingAlgorithm::load_balanced:
      return scheduling::Algorithm::load_balanced;
    case SchedulingAlgorithm::round_robin:
      break;
  }
  return scheduling::Algorithm::round_robin;
}

ThreadManagerOptions thread_options(const SystemOptimizationConfig& config) {
  validate(config);
  ThreadManagerOptions options{.num_compute_threads = static_cast<int>(config.num_compute_threads),
                               .num_io_threads = static_cast<int>(config.num_io_threads),
                               .num_preprocess_threads = static_cast<int>(config.num_preprocess_threads),
                               .thread_priority = static_cast<int>(config.thread_priority),
                               .cpu_affinity_mask = {},
                               .policy = config.scheduler_policy};
  if (config.cpu_affinity_mask) options.cpu_affinity_mask = cpu_set(*config.cpu_affinity_mask);
  return options;
}

ProfilerOptions profiler_options(const SystemOptimizationConfig& config) {
  constexpr double kLeastInterval_s = 0.05;
  validate(config);
  return {.interval_s = std::max(config.profile_interval, kLeastInterval_s),
          .profile_memory = config.profile_memory,
          .profile_compute = config.profile_compute};
}

MemoryManagerOptions memory_options(const SystemOptimizationConfig& config) {
  validate(config);
  return {.memory_limit_ratio = config.memory_limit_ratio,
          .memory_limit_bytes = {},
          .memory_pool_size = static_cast<uint64_t>(config.memory_pool_size),
          .memory_cleanup_interval = config.memory_cleanup_interval};
}

scheduling::ResourceQueueOptions resource_options(const SystemOptimizationConfig& config,
                                                  const scheduling::Amounts& capacities) {
  validate(config);
  return {.capacities = capacities,
          .reservation_permille = static_cast<int>(std::lround(1000 * config.resource_reservation_ratio)),
          .algorithm = algorithm_of(config.scheduling_algorithm),
          .scheduling = config.resource_scheduling_enabled ? scheduling::Scheduling::enabled
                                                           : scheduling::Scheduling::disabled};
}

}  // namespace qvl
