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

// Of the cap, without blocks that the pool keeps: nobody needs those.
std::optional<int> reserved_permille(const Ledger& ledger) {
  const LedgerReport report = ledger.report();
  if (report.cap_bytes == 0) return std::nullopt;
  const uint64_t kept = std::min(report.of(MemoryPart::pool).held_bytes, report.held_bytes);
  return permille(static_cast<double>(report.held_bytes - kept) / static_cast<double>(report.cap_bytes));
}

void add_heat(const std::vector<Temperature>& temperatures, scheduling::Signals& signals) {
  const auto hottest = hottest_processor(temperatures);
  if (!hottest) return;
  signals.temperature_c = static_cast<int>(std::lround(hottest->celsius));
  signals.temperature_limit_c = static_cast<int>(std::lround(*hottest->limit_c));
}

void add_sensors(const SignalSources& sources, scheduling::Signals& signals) {
  const Sample* sample = sources.sample;
  const bool sampled = sample != nullptr && !sample->temperatures.empty();
  add_heat(sampled ? sample->temperatures : read_temperatures(sources.files), signals);
  if (on_battery(sample != nullptr ? sample->power : read_power_supply(sources.files))) {
    signals.power = scheduling::PowerSource::battery;
  }
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
  options.power_save_duty_permille = limits.resting ? permille(kPowerSaveDuty) : 1000;
  options.prefill_chunk = static_cast<uint32_t>(limits.prefill_chunk);
  options.cache_bytes = limits.feature_bytes;
  return options;
}

}  // namespace

scheduling::Signals signals_of(const SignalSources& sources, int64_t now_us) {
  const auto& [budget, load, files, sample, ledger] = sources;
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
  signals.available_bytes = machine_memory(files).available;
  if (ledger != nullptr) signals.ledger_permille = reserved_permille(*ledger);
  add_sensors(sources, signals);
  return signals;
}

MemoryPressure memory_pressure_of(const SystemFiles& files) {
  auto stalls = read_own_pressure(files).memory;
  if (!stalls) stalls = read_machine_pressure(files).memory;
  MemoryPressure pressure;
  if (stalls && stalls->some) pressure.some_avg10 = stalls->some->avg10;
  if (stalls && stalls->full) pressure.full_avg10 = stalls->full->avg10;
  const MachineMemory memory = machine_memory(files);
  pressure.available_bytes = memory.available;
  pressure.total_bytes = memory.total;
  return pressure;
}

LiveAdaptation::LiveAdaptation(const Options& options, ThreadManager& threads)
    : dynamic_(options.config.dynamic_resource_adjustment),
      threads_(threads),
      files_(options.files),
      tracer_(options.tracer),
      ledger_(options.ledger),
      loop_(control_options(options.config, options.limits)),
      prefill_chunk_(options.limits.prefill_chunk),
      feature_bytes_(options.limits.feature_bytes) {}

bool LiveAdaptation::update(int64_t now_us, const Sample* sample) {
  if (next_us_ && now_us < *next_us_) return false;
  next_us_ = now_us + kInterval_us;
  if (const auto changed = threads_.refresh_budget()) tell(*changed);
  if (!dynamic_) return false;
  auto counters = read_cpu_counters(files_);
  std::optional<CpuLoad> load;
  if (last_ && counters) load = cpu_load(*last_, *counters);
  last_ = std::move(counters);
  adjust(signals_of(
      {.budget = threads_.budget(), .load = load, .files = files_, .sample = sample, .ledger = ledger_},
      now_us));
  memory_pressure_ = memory_pressure_of(files_);
  return true;
}

void LiveAdaptation::adjust(const scheduling::Signals& signals) {
  load_ = load_of(signals);
  const scheduling::Adjustment& adjustment = loop_.update(signals);
  threads_.adjust({.most_compute_threads = adjustment.threads,
                   .foreign_cpus = signals.foreign_permille.value_or(0) / 1000.0,
                   .duty = adjustment.duty_permille / 1000.0});
  if (adjustment.spinning == Spinning::off) threads_.compute().set_awake_turns(0);
  prefill_chunk_ = std::max<int64_t>(adjustment.prefill_chunk, 1);
  feature_bytes_ = adjustment.cache_bytes;
  // Each change on its own, an event each.
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
