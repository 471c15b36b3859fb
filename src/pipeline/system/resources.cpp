// Resources for programs of their own: scheduler/resource_queue.h under the configuration's names.
#include "memory/memory_limit.h"
#include "pipeline/system/options.h"
#include "profiler/gpu_monitor.h"
#include "qvl/system.h"
#include "scheduler/resource_queue.h"
#include "threads/cpu_budget.h"

namespace qvl::system {

struct ResourceScheduler::State {
  explicit State(const scheduling::ResourceQueueOptions& options) : queue(options) {}
  scheduling::ResourceQueue queue;
};

ResourceCapacities ResourceCapacities::of_this_machine(const SystemOptimizationConfig& config) {
  constexpr uint64_t kOperationsPerThread = 2;  // one under way, and the next
  validate(config);
  const SystemFiles files;
  ResourceCapacities out{.compute = 1000 * static_cast<uint64_t>(cpu_budget(files).threads),
                         .io = kOperationsPerThread * static_cast<uint64_t>(config.num_io_threads)};
  out.memory =
      static_cast<uint64_t>(static_cast<double>(memory_limit(files).bytes) * config.memory_limit_ratio);
  const GpuMonitor gpus;
  for (const GpuFacts& gpu : gpus.gpus()) out.gpu_memory += gpu.memory_bytes.value_or(0);
  return out;
}

ResourceScheduler::ResourceScheduler(const SystemOptimizationConfig& config,
                                     const ResourceCapacities& capacities)
    : state_(std::make_unique<State>(resource_options(config, {.compute = capacities.compute,
                                                               .memory = capacities.memory,
                                                               .io = capacities.io,
                                                               .gpu_memory = capacities.gpu_memory}))) {}
ResourceScheduler::~ResourceScheduler() = default;
ResourceScheduler::ResourceScheduler(ResourceScheduler&&) noexcept = default;

uint64_t ResourceScheduler::request_resources(std::string_view kind, uint64_t amount, int priority) {
  return state_->queue.request_resources(kind, amount, priority);
}

std::optional<ResourceGrant> ResourceScheduler::allocate_resources() {
  const auto grant = state_->queue.allocate_resources();
  if (!grant) return std::nullopt;
  return ResourceGrant{
      .ticket = grant->ticket, .kind = scheduling::to_string(grant->resource), .amount = grant->amount};
}

void ResourceScheduler::release_resources(std::string_view kind, uint64_t amount) {
  state_->queue.release_resources(kind, amount);
}

bool ResourceScheduler::cancel_request(uint64_t ticket) { return state_->queue.cancel(ticket); }

std::string ResourceScheduler::resource_status() const { return to_json(state_->queue.status()).dump(); }

}  // namespace qvl::system
