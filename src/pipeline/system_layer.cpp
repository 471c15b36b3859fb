#include "pipeline/system_layer.h"

#include <new>
#include <utility>

#include "memory/memory_size.h"
#include "optimizer/hardware_facts.h"
#include "pipeline/system/options.h"
#include "profiler/steady_clock.h"

namespace qvl {
namespace {

// The history is no part of the account of memory, so it is kept small.
constexpr size_t kHistoryBytes = 1 << 20;

std::unique_ptr<SystemProfiler> make_profiler(const SystemOptimizationConfig& config,
                                              const SystemFiles& files) {
  if (!config.enable_profiling) return nullptr;
  return std::make_unique<SystemProfiler>(ProfilerOptions{.interval_s = config.profile_interval,
                                                          .profile_memory = config.profile_memory,
                                                          .profile_compute = config.profile_compute,
                                                          .history_bytes = kHistoryBytes},
                                          files);
}

}  // namespace

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
      threads_(thread_options(config), {.files = options.files}),
      adaptation_(config, threads_, options.files, &tracer_),
      profiler_(make_profiler(config, options.files)) {
  for (std::string& problem : threads_.status().problems) warnings_.push_back(std::move(problem));
  if (options.tracing == Tracing::on) tracer_.enable();
  if (profiler_) start_profiling(options);
}

void SystemLayer::start_profiling(const SystemLayerOptions& options) {
  SystemProfiler::Listener listener;
  if (options.status_folder) {
    publisher_ = std::make_unique<StatusPublisher>(
        *options.status_folder, options.model,
        StatusSources{.ledger = memory_.ledger(), .stages = stages_, .requests = requests_});
    listener = [this](const Sample& sample) { publisher_->take(sample); };
  }
  if (profiler_->start(std::move(listener))) return;
  warnings_.emplace_back("the machine is not sampled: the system has no thread to spare");
}

void SystemLayer::between_steps() {
  if (adaptation_.update(steady_ns() / 1000)) tell(memory_.during_operation(adaptation_.memory_pressure()));
}

void SystemLayer::after_request() noexcept {
  try {
    tell(memory_.after_operation(adaptation_.memory_pressure()));
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): of its report; the next request is
                                     // another chance
  }
}

void SystemLayer::tell(const std::optional<CleanupReport>& report) {
  if (!report) return;
  if (report->freed.caches > 0) {
    tracer_.instant("memory", fmt::format("caches reduced by {}", format_bytes(report->freed.caches)));
  }
  tracer_.instant("memory", report->describe());
}

}  // namespace qvl
