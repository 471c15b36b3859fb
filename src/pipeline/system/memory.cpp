// Account and pool for programs of their own: memory/memory_manager.h under the configuration's names.
#include "base/error.h"
#include "memory/memory_manager.h"
#include "pipeline/system/options.h"
#include "pipeline/system/report.h"
#include "qvl/system.h"

namespace qvl::system {

struct MemoryManager::State {
  explicit State(const SystemOptimizationConfig& config) : manager(memory_options(config)) {}
  const SystemFiles files;
  qvl::MemoryManager manager;
};

struct TensorBlock::State {
  std::shared_ptr<const void> memory;  // the pool, which outlives the block
  PooledBlock block;
};

TensorBlock::TensorBlock(std::unique_ptr<State> state) : state_(std::move(state)) {}
TensorBlock::~TensorBlock() = default;
TensorBlock::TensorBlock(TensorBlock&&) noexcept = default;
std::byte* TensorBlock::data() const { return state_->block.bytes().data(); }
uint64_t TensorBlock::size() const { return state_->block.bytes().size(); }

MemoryManager::MemoryManager(const SystemOptimizationConfig& config)
    : state_(std::make_shared<State>(config)) {}
MemoryManager::~MemoryManager() = default;
MemoryManager::MemoryManager(MemoryManager&&) noexcept = default;

TensorBlock MemoryManager::allocate(uint64_t bytes) {
  const MachineMemory machine = machine_memory(state_->files);
  (void)state_->manager.after_operation({.available_bytes = machine.available, .total_bytes = machine.total});
  auto block = state_->manager.pool().allocate(bytes, MemoryPart::other).take_for("tensor");
  return TensorBlock(
      std::make_unique<TensorBlock::State>(TensorBlock::State{.memory = state_, .block = std::move(block)}));
}

bool MemoryManager::is_memory_available(uint64_t bytes) const {
  const auto report = state_->manager.report();
  const uint64_t kept = report.pool.kept_bytes;  // given back where it does not serve
  if (bytes > state_->manager.ledger().free_bytes() + kept) return false;
  return !report.machine.available || bytes <= *report.machine.available + kept;
}

CleanedMemory MemoryManager::cleanup_memory() {
  const auto report = state_->manager.clean_up(state_->manager.pool().stats().kept_bytes);
  return {.cache_bytes = report.freed.caches,
          .pool_bytes = report.freed.pool,
          .heap_bytes = report.freed.heap,
          .description = report.describe()};
}

std::string MemoryManager::memory_usage() const {
  const Json all = to_json(state_->manager.report());
  OrderedJson out = OrderedJson::object();
  for (const char* key : {"rss", "vms", "available", "total", "percent_used"}) out[key] = all[key];
  return out.dump();
}

std::string MemoryManager::memory_efficiency_report() const {
  return memory_keys(state_->manager.report()).dump();
}

}  // namespace qvl::system
