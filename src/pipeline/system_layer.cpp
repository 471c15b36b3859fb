#include "pipeline/system_layer.h"

#include "profiler/steady_clock.h"

namespace qvl {
namespace {

CpuSet cpu_set(const CpuMask& mask) {
  CpuSet cpus;
  for (int cpu = 0; cpu < CpuSet::kMostCpus; ++cpu) {
    if (mask.contains(cpu)) cpus.add(cpu);
  }
  return cpus;
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

}  // namespace

SystemLayer::SystemLayer(const SystemOptimizationConfig& config, Tracing tracing)
    : threads_(thread_options(config)), adaptation_(config, threads_, SystemFiles(), &tracer_) {
  if (tracing == Tracing::on) tracer_.enable();
}

uint64_t SystemLayer::request_memory_bytes() const { return uint64_t{8} << 30; }

void SystemLayer::between_steps() { adaptation_.update(steady_ns() / 1000); }

}  // namespace qvl
