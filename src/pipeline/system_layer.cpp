#include "pipeline/system_layer.h"

#include <algorithm>
#include <new>
#include <tuple>
#include <utility>

#include "memory/memory_limit.h"
#include "memory/memory_size.h"
#include "pipeline/system/options.h"
#include "profiler/steady_clock.h"

namespace qvl {
namespace {

// The history is no part of the account of memory, so it is kept small.
constexpr size_t kHistoryBytes = 1 << 20;

// Threads do not follow what was measured longer ago.
constexpr int64_t kFreshSample_us = 5'000'000;

std::shared_ptr<SystemProfiler> make_profiler(const SystemOptimizationConfig& config,
                                              const SystemFiles& files) {
  if (!config.enable_profiling) return nullptr;
  return std::make_shared<SystemProfiler>(ProfilerOptions{.interval_s = config.profile_interval,
                                                          .profile_memory = config.profile_memory,
                                                          .profile_compute = config.profile_compute,
                                                          .history_bytes = kHistoryBytes},
                                          files);
}

MemoryManagerOptions within(const RunLimits& limits, MemoryManagerOptions memory) {
  memory.huge_pages = limits.huge_pages ? HugePages::advised : HugePages::off;
  if (!limits.interval_clean_up) memory.memory_cleanup_interval.reset();
  return memory;
}

// The configuration's share, but never more than the limit that loading was given.
MemoryManagerOptions later_memory_options(const SystemOptimizationConfig& config,
                                          const SystemLayerOptions& options,
                                          std::vector<std::string>& warnings) {
  MemoryManagerOptions memory = memory_options(config, {.files = options.files}, warnings);
  if (!options.memory_limit) return memory;
  const auto share = static_cast<uint64_t>(static_cast<double>(memory_limit(options.files).bytes) *
                                           config.memory_limit_ratio);
  if (*options.memory_limit < share) memory.memory_limit_bytes = options.memory_limit;
  return memory;
}

ThreadManagerOptions thread_options(const SystemOptimizationConfig& config, const RunLimits& limits) {
  ThreadManagerOptions threads = qvl::thread_options(config);
  threads.may_pin = limits.pinning;
  threads.may_wait_awake = limits.waiting_awake;
  threads.may_share_cores = limits.shared_cores;
  threads.may_rest = limits.resting;
  return threads;
}

}  // namespace

MemoryManagerOptions memory_options(const SystemOptimizationConfig& config, const SystemLayerOptions& options,
                                    std::vector<std::string>& warnings) {
  MemoryManagerOptions memory{.memory_limit_ratio = config.memory_limit_ratio,
                              .memory_limit_bytes = options.memory_limit,
                              .memory_pool_size = static_cast<uint64_t>(config.memory_pool_size),
                              .memory_cleanup_interval = config.memory_cleanup_interval,
                              .blocks = options.blocks};
  if (options.memory_limit) {
    if (auto lowered = told_if_lowered(*options.memory_limit, options.files)) {
      warnings.push_back(*std::move(lowered));
    }
  }
  return memory;
}

SystemLayer::SystemLayer(const SystemOptimizationConfig& config, const SystemLayerOptions& options)
    : options_(options),
      memory_(within(options.limits, memory_options(config, options, warnings_)), options.files),
      threads_(thread_options(config, options.limits), {.files = options.files}) {
  for (std::string& problem : threads_.status().problems) warnings_.push_back(std::move(problem));
  if (options.tracing == Tracing::on) tracer_.enable();
  adapt_to(config, options.limits);
  profile(config, warnings_);
}

SystemLayer::~SystemLayer() {
  if (profiler_) profiler_->stop();  // who reads it may keep it for longer
}

std::vector<std::string> SystemLayer::configure(const SystemOptimizationConfig& config,
                                                const RunLimits& limits) {
  std::vector<std::string> warnings;
  const ThreadManagerOptions threads = thread_options(config, limits);
  threads_.check(threads);  // before memory changes: this can fail, and that
  memory_.configure(within(limits, later_memory_options(config, options_, warnings)));
  threads_.configure(threads);
  const SystemOptimizationConfig before = state().config;
  const auto sampled = [](const SystemOptimizationConfig& each) {
    return std::tuple(each.enable_profiling, each.profile_interval, each.profile_memory,
                      each.profile_compute);
  };
  if (sampled(config) != sampled(before)) profile(config, warnings);
  adapt_to(config, limits);
  return warnings;
}

void SystemLayer::profile(const SystemOptimizationConfig& config, std::vector<std::string>& warnings) {
  std::shared_ptr<SystemProfiler> next = make_profiler(config, options_.files);
  std::shared_ptr<SystemProfiler> last;
  {
    const std::lock_guard lock(mutex_);
    last = std::exchange(profiler_, next);
  }
  if (last) last->stop();  // the publisher listens to one at a time
  if (!next) return publisher_.reset();
  if (options_.status_folder && !publisher_) {
    publisher_ = std::make_unique<StatusPublisher>(
        *options_.status_folder, options_.model,
        StatusSources{.ledger = memory_.ledger(), .stages = stages_, .requests = requests_});
  }
  const auto listener = [this](const Sample& sample) {
    stay_in_budget();
    if (publisher_) publisher_->take(sample);
  };
  if (next->start(listener)) return;
  warnings.emplace_back("the machine is not sampled: the system has no thread to spare");
}

// A mask counts for the sampler's thread as for the pools'.
void SystemLayer::stay_in_budget() const {
  CpuSet place;
  for (int cpu : state().threads.budget.cpus) place.add(cpu);
  if (this_thread_affinity() != place) set_thread_affinity(this_thread_id(), place);
}

void SystemLayer::adapt_to(const SystemOptimizationConfig& config, const RunLimits& limits) {
  adaptation_ = std::make_unique<LiveAdaptation>(LiveAdaptation::Options{.config = config,
                                                                         .limits = limits,
                                                                         .files = options_.files,
                                                                         .tracer = &tracer_,
                                                                         .ledger = &memory_.ledger()},
                                                 threads_);
  {
    const std::lock_guard lock(mutex_);
    state_.config = config;
    state_.limits = limits;
  }
  publish();
}

void SystemLayer::publish() {
  ThreadStatus threads = threads_.status();
  const std::lock_guard lock(mutex_);
  state_.threads = std::move(threads);
  state_.load = adaptation_->load();
  state_.memory_pressure = adaptation_->memory_pressure();
  state_.prefill_chunk = adaptation_->prefill_chunk();
  state_.feature_bytes = adaptation_->feature_bytes();
}

std::shared_ptr<const SystemProfiler> SystemLayer::profiler() const {
  const std::lock_guard lock(mutex_);
  return profiler_;
}

SystemState SystemLayer::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

RunLimits SystemLayer::limits() const {
  const std::lock_guard lock(mutex_);
  return state_.limits;
}

int SystemLayer::compute_threads() const {
  const std::lock_guard lock(mutex_);
  return state_.threads.compute_threads;
}

scheduling::Load SystemLayer::load() const {
  const std::lock_guard lock(mutex_);
  return state_.load;
}

int64_t SystemLayer::prefill_chunk(int64_t asked) const {
  const std::lock_guard lock(mutex_);
  return std::min(asked, state_.prefill_chunk);
}

uint64_t SystemLayer::feature_bytes() const {
  const std::lock_guard lock(mutex_);
  return state_.feature_bytes;
}

MemoryPressure SystemLayer::memory_pressure() const {
  const std::lock_guard lock(mutex_);
  return state_.memory_pressure;
}

void SystemLayer::between_steps() { between_steps(steady_ns() / 1000); }

void SystemLayer::between_steps(int64_t now_us) {
  const auto sampler = profiler();
  auto sample = sampler ? sampler->latest() : nullptr;
  if (sample && now_us - sample->time_ns / 1000 > kFreshSample_us) sample = nullptr;
  const bool looked = adaptation_->update(now_us, sample.get());
  if (looked || threads_.compute().size() != compute_threads()) publish();
  if (looked) tell(memory_.during_operation(memory_pressure()));
}

void SystemLayer::after_request() noexcept {
  try {
    tell(memory_.after_operation(memory_pressure()));
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
