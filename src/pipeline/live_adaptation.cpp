#include "pipeline/live_adaptation.h"

#include <algorithm>
#include <cmath>

#include "memory/process_memory.h"
#include "profiler/pressure.h"

namespace qvl {
namespace {

using scheduling::PowerPolicy;
using scheduling::Spinning;

int permille(double share) {
  return std::isfinite(share) ? static_cast<int>(std::lround(std::clamp(share, 0.0, 1e5) * 1000)) : 0;
}

PowerPolicy power_policy(SchedulerPolicy policy) {
  switch (policy) {
    case SchedulerPolicy::balanced:
      return PowerPolicy::balanced;
    case SchedulerPolicy::power_save:
      return PowerPolicy::power_save;
    case SchedulerPolicy::performance:
      break;
  }
  return PowerPolicy::performance;
}

std::optional<int> stall_permille(const std::optional<Pressure>& pressure) {
  if (!pressure || !pressure->some) return std::nullopt;
  return permille(pressure->some->avg10 / 100);
}

// Whatever ran on the processors of the budget and was not this process.
double foreign_cpus(const CpuBudget& budget, const CpuLoad& load) {
  double busy = 0;
  for (const CpuLoad::One& one : load.each) {
    if (std::find(budget.cpus.begin(), budget.cpus.end(), one.cpu) != budget.cpus.end()) busy += one.busy;
  }
  return std::max(0.0, busy - load.own_cpus.value_or(0));
}

scheduling::Load load_of(const scheduling::Signals& signals) {
  const int busy = signals.own_permille.value_or(0) + signals.foreign_permille.value_or(0);
  return {.compute_permille = signals.cpus > 0 ? std::min(busy / signals.cpus, 1000) : 0,
          .io_permille = std::min(signals.io_pressure_permille.value_or(0), 1000)};
}

scheduling::ControlOptions control_options(const SystemOptimizationConfig& config, const RunLimits& limits) {
  scheduling::ControlOptions options;
  options.asked_threads = static_cast<int>(config.num_compute_threads);
  options.policy = power_policy(config.scheduler_policy);
  options.prefill_chunk = static_cast<uint32_t>(limits.prefill_chunk);
  options.cache_bytes = limits.feature_bytes;
  return options;
}

}  // namespace

scheduling::Signals signals_of(const CpuBudget& budget, const std::optional<CpuLoad>& load,
                               const SystemFiles& files, int64_t now_us) {
  scheduling::Signals signals;
  signals.now_us = now_us;
  signals.cpus = static_cast<int>(budget.cpus.size());
  if (budget.quota) signals.quota_permille = permille(budget.quota->cpus);
  if (load && load->own_cpus) {
    signals.own_permille = permille(*load->own_cpus);
    signals.foreign_permille = permille(foreign_cpus(budget, *load));
  }
  const PressureSet pressure = read_machine_pressure(files);
  signals.cpu_pressure_permille = stall_permille(pressure.cpu);
  signals.memory_pressure_permille = stall_permille(pressure.memory);
  signals.io_pressure_permille = stall_permille(pressure.io);
  if (const auto memory = machine_memory(files)) signals.available_bytes = memory->available;
  return signals;
}

MemoryPressure memory_pressure_of(const SystemFiles& files) {
  auto stalls = read_own_pressure(files).memory;
  if (!stalls) stalls = read_machine_pressure(files).memory;
  MemoryPressure pressure;
  if (stalls && stalls->some) pressure.some_avg10 = stalls->some->avg10;
  if (stalls && stalls->full) pressure.full_avg10 = stalls->full->avg10;
  if (const auto memory = machine_memory(files)) {
    pressure.available_bytes = memory->available;
    pressure.total_bytes = memory->total;
  }
  return pressure;
}

LiveAdaptation::LiveAdaptation(const Options& options, ThreadManager& threads)
    : dynamic_(options.config.dynamic_resource_adjustment),
      threads_(threads),
      files_(options.files),
      tracer_(options.tracer),
      loop_(control_options(options.config, options.limits)),
      prefill_chunk_(options.limits.prefill_chunk),
      feature_bytes_(options.limits.feature_bytes) {}

bool LiveAdaptation::update(int64_t now_us) {
  if (next_us_ && now_us < *next_us_) return false;
  next_us_ = now_us + kInterval_us;
  if (const auto changed = threads_.refresh_budget()) tell(*changed);
  if (!dynamic_) return false;
  auto counters = read_cpu_counters(files_);
  std::optional<CpuLoad> load;
  if (last_ && counters) load = cpu_load(*last_, *counters);
  last_ = std::move(counters);
  adjust(load, now_us);
  memory_pressure_ = memory_pressure_of(files_);
  return true;
}

void LiveAdaptation::adjust(const std::optional<CpuLoad>& load, int64_t now_us) {
  const scheduling::Signals signals = signals_of(threads_.budget(), load, files_, now_us);
  load_ = load_of(signals);
  const scheduling::Adjustment& adjustment = loop_.update(signals);
  threads_.adjust({.most_compute_threads = adjustment.threads,
                   .foreign_cpus = signals.foreign_permille.value_or(0) / 1000.0,
                   .duty = adjustment.duty_permille / 1000.0});
  if (adjustment.spinning == Spinning::off) threads_.compute().set_awake_turns(0);
  prefill_chunk_ = std::max<int64_t>(adjustment.prefill_chunk, 1);
  feature_bytes_ = adjustment.cache_bytes;
  // Each change on its own: the text of an event is short.
  for (std::string_view rest = adjustment.cause; !rest.empty();) {
    const size_t end = std::min(rest.find("; "), rest.size());
    tell(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 2, rest.size()));
  }
  if (tracer_ == nullptr) return;
  tracer_->counter("compute threads", threads_.compute().size());
  if (signals.own_permille) tracer_->counter("own processors", *signals.own_permille / 1000.0);
  if (signals.foreign_permille) tracer_->counter("foreign processors", *signals.foreign_permille / 1000.0);
}

void LiveAdaptation::tell(std::string_view what) {
  if (tracer_ != nullptr) tracer_->instant("adaptation", what);
}

}  // namespace qvl
