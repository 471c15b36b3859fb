// Limit, ledger, pool and clean-up of the process in one place, set up from a few options.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>

#include "base/json.h"
#include "base/system_files.h"
#include "memory/cleaner.h"
#include "memory/ledger.h"
#include "memory/memory_limit.h"
#include "memory/process_memory.h"
#include "memory/system_memory.h"
#include "memory/tensor_pool.h"

namespace qvl {

struct MemoryManagerOptions {
  /// The hard cap as a share of what the process may use: above 0, at most 1.
  double memory_limit_ratio = 0.8;
  /// In its place the cap itself, lowered to what the process may use.
  std::optional<uint64_t> memory_limit_bytes{};
  /// Most bytes the pool keeps for reuse.
  uint64_t memory_pool_size = 268'435'456;
  /// Clean up at least every so many operations, 1 to 1,000,000; nothing: under pressure alone.
  std::optional<int64_t> memory_cleanup_interval = 10;
  HugePages huge_pages = HugePages::advised;
  SystemMemory* blocks = nullptr;  ///< where the pool's come from, outlives the manager; null: heap and pages
};

/// The cap under `options`, and its cause: "80 % of physical memory". Throws Error{usage} for an option
/// outside its range, and as memory_limit().
MemoryLimit memory_cap(const MemoryManagerOptions& options, const SystemFiles& files);

/// Memory at one moment. Sizes in bytes, those with _mb in units of 2^20 bytes.
struct MemoryReport {
  std::optional<ProcessMemory> process{};  ///< as the kernel tells it
  MachineMemory machine;
  MemoryLimit limit;  ///< the cap, and its cause
  LedgerReport ledger;
  TensorPoolStats pool;

  /// Share of the cap that is held, 0 to 1; more only where the cap was lowered.
  double memory_utilization() const;
  /// Percent of the machine's memory that is not available; nothing where the kernel does not tell.
  std::optional<double> percent_used() const;
};

/// Flat keys first: rss, vms, peak_rss, available, total, percent_used, memory_utilization,
/// available_memory_mb, total_memory_mb, rss_memory_mb, tensor_pool_size (bytes kept), tensor_pool_hit_rate,
/// tensor_pool_allocations (blocks from the system);
/// then limit_bytes, limit_cause, cap_bytes, held_bytes, peak_bytes, refusals, and by_part {NAME:
/// {held_bytes, peak_bytes, refusals}}. What the kernel does not tell is null.
Json to_json(const MemoryReport& report);

/// The memory of one process. Thread-safe. Outlives what was taken from it.
class MemoryManager {
 public:
  /// Throws as memory_cap(), and Error{limit} where the program alone is above the cap.
  explicit MemoryManager(const MemoryManagerOptions& options, const SystemFiles& files = SystemFiles());

  /// From now on under `options`, but for where blocks come from. Throws as the constructor, and Error{limit}
  /// with what each part holds where the new cap does not hold it; then nothing has changed. One caller at a
  /// time.
  void configure(const MemoryManagerOptions& options);

  /// memory_cap() of what it is under now.
  MemoryLimit limit() const;
  Ledger& ledger() { return ledger_; }
  TensorPool& pool() { return pool_; }

  /// Called after each operation, with the pressure as last measured; cleans up when it is time.
  std::optional<CleanupReport> after_operation(const MemoryPressure& pressure) {
    return cleaner_.after_operation(pressure);
  }
  /// The same in the middle of a long operation: cleans up when pressure begins.
  std::optional<CleanupReport> during_operation(const MemoryPressure& pressure) {
    return cleaner_.during_operation(pressure);
  }
  /// Gives back at least `wanted_bytes` of caches and pool, as far as they have them, idle blocks, and the
  /// heap.
  CleanupReport clean_up(uint64_t wanted_bytes) { return cleaner_.clean_up(wanted_bytes); }
  /// Whether memory is so short that nothing new should be admitted.
  bool pressed() const { return cleaner_.pressed(); }

  MemoryReport report() const;

 private:
  SystemFiles files_;
  mutable std::mutex limit_mutex_;
  MemoryLimit limit_;
  Ledger ledger_;
  Reservation program_;  // what the process had at the start
  HeapAndPages system_;
  TensorPool pool_;
  Cleaner cleaner_;
};

}  // namespace qvl
