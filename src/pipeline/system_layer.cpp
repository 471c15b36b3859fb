#include "pipeline/system_layer.h"

#include "memory/memory_size.h"
#include "optimizer/hardware_facts.h"
#include "pipeline/system/options.h"
#include "profiler/steady_clock.h"

namespace qvl {
MemoryManagerOptions memory_options(const SystemOptimizationConfig& config, const SystemLayerOptions& options,
                                    std::vector<std::string>& warnings) {
  MemoryManagerOptions memory{.memory_limit_ratio = config.memory_limit_ratio,
                              .memory_limit_bytes = options.memory_limit,
                              .memory_pool_size = static_cast<uint64_t>(config.memory_pool_size),
                              .memory_cleanup_interval = config.memory_cleanup_interval,
                              .blocks = options.blocks};
  if (options.memory_limit || memory_limit(options.files)) return memory;
  const uint64_t physical = read_hardware(options.files).memory_bytes;
  memory.memory_limit_bytes =
      static_cast<uint64_t>(static_cast<double>(physical) * config.memory_limit_ratio);
  warnings.push_back(
      fmt::format("the system does not tell how much memory this process may use; it is held to {}",
                  format_bytes(*memory.memory_limit_bytes)));
  return memory;
}

SystemLayer::SystemLayer(const SystemOptimizationConfig& config, const SystemLayerOptions& options)
    : memory_(memory_options(config, options, warnings_), options.files),
      threads_(thread_options(config)),
      adaptation_(config, threads_, options.files, &tracer_) {
  if (options.tracing == Tracing::on) tracer_.enable();
}

void SystemLayer::between_steps() {
  if (adaptation_.update(steady_ns() / 1000)) tell(memory_.during_operation(adaptation_.memory_pressure()));
}

void SystemLayer::after_request() { tell(memory_.after_operation(adaptation_.memory_pressure())); }

void SystemLayer::tell(const std::optional<CleanupReport>& report) {
  if (!report) return;
  if (report->freed.caches > 0) {
    tracer_.instant("memory", fmt::format("caches reduced by {}", format_bytes(report->freed.caches)));
  }
  tracer_.instant("memory", report->describe());
}

}  // namespace qvl
