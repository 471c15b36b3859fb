// The parts of the system layer, for programs that use them on their own: profiler, pools of threads, memory,
// resources.
//
//   qvl::system::ThreadManager threads(qvl::SystemOptimizationConfig::for_this_machine());
//   std::future<int> answer = threads.submit_compute_task([] { return 42; });
//
// Reports are JSON, so that they may grow. Constructors throw Error{usage} for a configuration out of its
// range.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "qvl/error.h"
#include "qvl/system_config.h"

namespace qvl::system {

/// One JSON object: cpu_count (logical), cpu_count_physical, cpu_count_performance, cpu_packages, numa_nodes,
/// cpu_caches [text], instruction_sets [text], cpu_budget_threads, cpu_budget_cause, cpu_quota,
/// memory_total_gb, memory_available_gb, memory_budget_gb, memory_budget_cause (units of 2^30 bytes),
/// memory_read_gb_s and int8_gop_s {instruction set: rate} (as read_hardware_info() has them), disks [{name,
/// model, size_gb, kind}], gpu_info [{name, compute_capability, memory_total_mb}], gpu_problem,
/// pressure_files [text]. What the machine does not tell, or was not measured, is null.
std::string hardware_info();

/// Samples the machine beside whatever else runs. Thread-safe.
class SystemProfiler {
 public:
  /// Most samples kept; the oldest go.
  static constexpr size_t kMostProfiles = 600;

  /// Obeys enable_profiling, profile_interval (at least 0.05 s), profile_memory, profile_compute.
  explicit SystemProfiler(const SystemOptimizationConfig& config);
  ~SystemProfiler();
  SystemProfiler(SystemProfiler&&) noexcept;

  /// Samples from now on. False, and nothing happens, where profiling is not enabled. Throws
  /// Error{environment} where the system refuses a thread.
  bool start_profiling();
  /// Keeps the samples.
  void stop_profiling();
  bool profiling() const;
  /// The latest sample while profiling, else one taken now and kept: time_s, cost_ms, cpu {cpus, busy_cpus,
  /// own_cpus, foreign_cpus, ...}, memory, pressure, disks, network, gpus, ... What is not known has no key.
  std::string current_profile();
  /// An array of the samples, oldest first.
  std::string profiles() const;
  /// {profiling, samples, seconds, avg_cpu_percent, max_cpu_percent, ..., avg_memory_percent, ...,
  /// avg_gpu_memory_allocated_mb (of all GPUs, whoever has it), avg_own_gpu_memory_mb, ..., latest (a sample
  /// as current_profile()), cost: {cpu_s, longest_ms, failed}}; null where no sample tells.
  std::string system_summary() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// What the processors of this machine use, whoever computes. Thread-safe.
class EnergyMeter {
 public:
  EnergyMeter();  ///< counts from now on
  ~EnergyMeter();
  EnergyMeter(EnergyMeter&&) noexcept;

  /// Reads the counters; to be called before any of them has gone through its whole range, which a package of
  /// 65 W does within about an hour.
  void advance();
  /// Reads them as well. Joules since it was made; nothing where this process may not read them.
  std::optional<double> joules();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Something to be done once, on a thread of a pool. Destroyed where it is not done because the pool is shut
/// down.
class Work {
 public:
  virtual ~Work() = default;
  virtual void run() = 0;
};

enum class Pool { compute, io, preprocess };

enum class Shutdown {
  drain,   ///< what waits is still done
  cancel,  ///< what waits is destroyed
};

/// Three pools of threads within what this process may use of the machine. The scheduler policy decides their
/// numbers and priorities; work once begun is never made to rest (kPowerSaveDuty is of a pipeline's loops).
/// Thread-safe.
class ThreadManager {
 public:
  /// Most that waits in each pool.
  static constexpr size_t kMostWaiting = 1024;

  /// Throws Error{usage} for a mask without a usable processor, Error{environment} where a pool gets no
  /// thread.
  explicit ThreadManager(const SystemOptimizationConfig& config);
  ~ThreadManager();  ///< shutdown(Shutdown::cancel)
  ThreadManager(ThreadManager&&) noexcept;

  /// Waits while the queue is full, so work that submits to a pool uses try_submit. After a shutdown the work
  /// is destroyed.
  void submit(Pool pool, std::unique_ptr<Work> work);
  /// False, and the work is destroyed, where the queue is full.
  bool try_submit(Pool pool, std::unique_ptr<Work> work);

  /// The future has what the callable returns or throws; std::future_error{broken_promise} where it is never
  /// called.
  template <typename Callable>
  auto submit_compute_task(Callable&& callable) {
    return submit_callable(Pool::compute, std::forward<Callable>(callable));
  }
  template <typename Callable>
  auto submit_io_task(Callable&& callable) {
    return submit_callable(Pool::io, std::forward<Callable>(callable));
  }
  template <typename Callable>
  auto submit_preprocess_task(Callable&& callable) {
    return submit_callable(Pool::preprocess, std::forward<Callable>(callable));
  }

  /// Takes no further work and does not wait; from a task too. What runs is finished in any case.
  void close(Shutdown how);
  /// Whether no work waits or runs; waits for that at most so long.
  bool wait_idle(std::chrono::milliseconds most) const;
  /// close(), then waits until all threads have ended. Never from a task of these pools.
  void shutdown(Shutdown how);
  /// {closed, cpu_budget_threads, cpu_budget_cause, compute: {threads, waiting, running, submitted,
  /// completed, failed, cancelled, refused}, io, preprocess, problems [text]}
  std::string status() const;

 private:
  template <typename Callable>
  auto submit_callable(Pool pool, Callable&& callable);

  struct State;
  std::unique_ptr<State> state_;
};

/// A block of a MemoryManager's pool, which goes back to it at the end. Keeps the pool alive. Movable,
/// thread-compatible.
class TensorBlock {
 public:
  ~TensorBlock();
  TensorBlock(TensorBlock&&) noexcept;
  /// Aligned to 64 bytes, contents undefined; of an empty block nullptr.
  std::byte* data() const;
  uint64_t size() const;

 private:
  friend class MemoryManager;
  struct State;
  explicit TensorBlock(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// What a clean-up gave back.
struct CleanedMemory {
  uint64_t cache_bytes = 0, pool_bytes = 0, heap_bytes = 0;
  std::string description;  ///< one line
};

/// One account of memory under one hard cap, and a pool of blocks in it. Thread-safe.
class MemoryManager {
 public:
  /// Obeys memory_limit_ratio, memory_pool_size, memory_cleanup_interval. Throws Error{environment} where the
  /// kernel does not tell what the process may use, Error{limit} where the program alone is above the cap.
  explicit MemoryManager(const SystemOptimizationConfig& config);
  ~MemoryManager();
  MemoryManager(MemoryManager&&) noexcept;

  /// Counts as an operation of memory_cleanup_interval, as its end does. Throws Error{limit} with what each
  /// part holds where `bytes` do not fit below the cap.
  TensorBlock allocate(uint64_t bytes);
  /// Whether so much fits below the cap, and the machine has it now.
  bool is_memory_available(uint64_t bytes) const;
  /// Gives back what is kept for reuse, and what the heap holds.
  CleanedMemory cleanup_memory();
  /// {rss, vms, available, total (bytes), percent_used}
  std::string memory_usage() const;
  /// {rss, vms, peak_rss, available, total, percent_used, rss_memory_mb, available_memory_mb,
  /// total_memory_mb, memory_utilization, tensor_pool_size, tensor_pool_hit_rate, tensor_pool: {...},
  /// limit_bytes, limit_cause, cap_bytes, held_bytes, ..., by_part}
  std::string memory_efficiency_report() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// How much of each resource there is.
struct ResourceCapacities {
  uint64_t compute = 0;     ///< thousandths of a processor
  uint64_t memory = 0;      ///< bytes
  uint64_t io = 0;          ///< operations in flight
  uint64_t gpu_memory = 0;  ///< bytes

  /// What this process may use: the processors of its budget, its memory times memory_limit_ratio, two
  /// operations for each I/O thread, the memory of all GPUs.
  static ResourceCapacities of_this_machine(const SystemOptimizationConfig& config);
};

struct ResourceGrant {
  uint64_t ticket = 0;
  std::string_view kind = {};
  uint64_t amount = 0;
};

/// Resources that are asked for, granted in the order of scheduling_algorithm, and given back. Thread-safe;
/// no call waits.
class ResourceScheduler {
 public:
  ResourceScheduler(const SystemOptimizationConfig& config, const ResourceCapacities& capacities);
  ~ResourceScheduler();
  ResourceScheduler(ResourceScheduler&&) noexcept;

  /// `kind` "compute", "memory", "io" or "gpu_memory"; `amount` from 1 to what may be held; `priority` 0 to
  /// 9, the most urgent last. Returns a ticket. Throws Error{usage} that names what is out of its range,
  /// Error{limit} where 1,024 requests wait.
  uint64_t request_resources(std::string_view kind, uint64_t amount, int priority);
  /// The next grant; nothing where none fits or none waits.
  std::optional<ResourceGrant> allocate_resources();
  /// Throws Error{usage} for more than is held.
  void release_resources(std::string_view kind, uint64_t amount);
  /// Takes a request back that was not granted; false where there is none.
  bool cancel_request(uint64_t ticket);
  /// {resource_usage: {KIND: {held, limit, capacity}}, resource_reservation_ratio, scheduling_algorithm,
  /// queue_sizes: {KIND: requests}}
  std::string resource_status() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// What has run so far.
struct OperationCounts {
  uint64_t operations = 0;
  double uptime_s = 0;
};

/// {system_summary, hardware_info, memory_efficiency, resource_status, operation_count, uptime (seconds),
/// config}: the first four as the calls of those names say above. A pipeline's report has the same keys.
std::string system_optimization_report(const SystemProfiler& profiler, const MemoryManager& memory,
                                       const ResourceScheduler& resources, const OperationCounts& counts,
                                       const SystemOptimizationConfig& config);

template <typename Callable>
auto ThreadManager::submit_callable(Pool pool, Callable&& callable) {
  using Function = std::decay_t<Callable>;
  using Result = std::invoke_result_t<Function&>;
  struct Task final : Work {
    explicit Task(Callable&& source) : task(std::forward<Callable>(source)) {}
    void run() override { task(); }
    std::packaged_task<Result()> task;
  };
  auto task = std::make_unique<Task>(std::forward<Callable>(callable));
  auto future = task->task.get_future();
  submit(pool, std::move(task));
  return future;
}

}  // namespace qvl::system
