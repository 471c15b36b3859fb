#include "scheduler/control_loop.h"

#include <algorithm>
#include <utility>

#include "base/checked.h"
#include "base/error.h"

namespace qvl::scheduling {
namespace {

constexpr int kMostCpus = 4096;
constexpr int kCacheSteps = 8;
constexpr int kLeastDutyPermille = 300;

std::string cpus_text(int permille) { return fmt::format("{:.2f} CPUs", permille / 1000.0); }
std::string percent_text(int permille) { return fmt::format("{:.1f} %", permille / 10.0); }
std::string bytes_text(uint64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}
std::string_view spinning_text(Spinning spinning) {
  return spinning == Spinning::allowed ? "allowed" : "off";
}

std::optional<int> within(std::optional<int> value, int least, int most) {
  if (!value) return value;
  return std::clamp(*value, least, most);
}

// A sensor that is broken reports anything: nothing is better than that.
std::optional<int> plausible(std::optional<int> celsius) {
  return celsius && *celsius >= -50 && *celsius <= 150 ? celsius : std::nullopt;
}

// Files of the kernel are read by others, but trusted by nobody.
Signals checked(Signals signals, int64_t last_us) {
  signals.now_us = std::max(signals.now_us, last_us);
  signals.cpus = std::clamp(signals.cpus, 1, kMostCpus);
  signals.quota_permille = within(signals.quota_permille, 1, 1000 * kMostCpus);
  signals.own_permille = within(signals.own_permille, 0, 1000 * kMostCpus);
  signals.foreign_permille = within(signals.foreign_permille, 0, 1000 * kMostCpus);
  for (auto* pressure : {&signals.cpu_pressure_permille, &signals.memory_pressure_permille,
                         &signals.io_pressure_permille, &signals.ledger_permille}) {
    *pressure = within(*pressure, 0, 1000);
  }
  signals.temperature_c = plausible(signals.temperature_c);
  signals.temperature_limit_c = plausible(signals.temperature_limit_c);
  return signals;
}

}  // namespace

ControlLoop::ControlLoop(const ControlOptions& options) : options_(options) {
  QVL_CHECK(options.asked_threads >= 1 && options.most_changes >= 1 &&
            options.power_save_duty_permille >= 1 && options.power_save_duty_permille <= 1000 &&
            options.least_prefill_chunk <= options.prefill_chunk);
  adjustment_ = {.threads = options.asked_threads,
                 .prefill_chunk = options.prefill_chunk,
                 .cache_bytes = options.cache_bytes};
}

const Adjustment& ControlLoop::update(const Signals& signals) {
  adjustment_.cause.clear();
  observe(signals);
  decide_threads();
  decide_spinning();
  decide_duty();
  decide_chunk();
  decide_caches();
  return adjustment_;
}

void ControlLoop::observe(const Signals& signals) {
  now_ = checked(signals, last_us_);
  // Without its own share, the process is taken to have computed all the time.
  const int threads = std::min(adjustment_.threads, now_.cpus);
  demand_permille_ = foreign_demand_permille({.cpus = now_.cpus,
                                              .threads = threads,
                                              .own_permille = now_.own_permille.value_or(1000 * threads),
                                              .foreign_permille = now_.foreign_permille.value_or(0)});
  foreign_.update(demand_permille_, now_.now_us);
  if (!now_.foreign_permille && now_.cpu_pressure_permille) {
    cpu_pressure_.update(trend_of(*now_.cpu_pressure_permille, 200, 50), 1, now_.now_us);
  } else {
    cpu_pressure_.update(Trend::falling, 1, now_.now_us);
  }

  memory_.update(memory_trend(), kCacheSteps, now_.now_us);
  Trend heat = Trend::falling;
  if (now_.temperature_c && now_.temperature_limit_c) {
    heat = trend_of(*now_.temperature_c, *now_.temperature_limit_c - 3, *now_.temperature_limit_c - 8);
  }
  const int most_heat = now_.cpus / 2 + (1000 - kLeastDutyPermille) / 100;
  heat_.update(heat, most_heat, now_.now_us);
  last_available_bytes_ = now_.available_bytes;
  last_us_ = now_.now_us;
}

// Whether memory is short, by the best signal there is; the reason goes with it.
Trend ControlLoop::memory_trend() {
  const uint64_t low = options_.low_available_bytes, twice_low = low > UINT64_MAX / 2 ? UINT64_MAX : 2 * low;
  const auto rising = [this](std::string reason) {
    memory_reason_ = std::move(reason);
    return Trend::rising;
  };
  const auto& pressure = now_.memory_pressure_permille;
  if (pressure && *pressure >= 100) return rising("memory pressure " + percent_text(*pressure));
  if (now_.ledger_permille && *now_.ledger_permille >= 950) {
    return rising(percent_text(*now_.ledger_permille) + " of the memory cap reserved");
  }
  bool calm = (!pressure || *pressure <= 20) && now_.ledger_permille.value_or(0) <= 850;
  if (now_.available_bytes) {
    const uint64_t available = *now_.available_bytes;
    if (available < low) return rising(bytes_text(available) + " available");
    if (available < twice_low && now_.io_pressure_permille.value_or(0) >= 300) {
      return rising("mapped pages are read again, io pressure " + percent_text(*now_.io_pressure_permille));
    }
    if (!pressure) {
      const int64_t left_us = time_left_us(available);
      if (left_us < 10'000'000) {
        return rising(fmt::format("available memory gone in {} s at this rate (no pressure file)",
                                  left_us / 1'000'000));
      }
      calm = calm && left_us > 60'000'000;
    }
    calm = calm && available >= twice_low;
  }
  return calm ? Trend::falling : Trend::steady;
}

// Until nothing is available if that goes on as since the last update; the largest number where it does not
// fall.
int64_t ControlLoop::time_left_us(uint64_t available) const {
  const int64_t passed_us = now_.now_us - last_us_;
  if (!last_available_bytes_ || *last_available_bytes_ <= available || passed_us <= 0) return INT64_MAX;
  const uint64_t fallen_kib = ((*last_available_bytes_ - available) >> 10) + 1;
  const auto left_us = checked_mul(available >> 10, static_cast<uint64_t>(passed_us));
  return left_us && *left_us / fallen_kib <= INT64_MAX ? static_cast<int64_t>(*left_us / fallen_kib)
                                                       : INT64_MAX;
}

int ControlLoop::bound_of(Bound bound) const {
  const int cpus = now_.cpus, busy = foreign_.busy_programs();
  switch (bound) {
    case Bound::asked:
      return options_.asked_threads;
    case Bound::cpus:
      return cpus;
    case Bound::quota:
      return now_.quota_permille ? std::max((*now_.quota_permille + 500) / 1000, 1) : kMostCpus;
    case Bound::foreign:
      if (options_.policy == PowerPolicy::performance) return cpus;
      return std::max({cpus - busy, std::min(busy, cpus), 1});
    case Bound::heat:
      return std::max(cpus - std::min(heat_.value(), cpus / 2), 1);
    case Bound::power_save:
      return options_.policy == PowerPolicy::power_save ? (cpus + 1) / 2 : cpus;
  }
  QVL_CHECK(false);
}

std::string ControlLoop::reason_of(Bound bound) const {
  switch (bound) {
    case Bound::asked:
      return fmt::format("{} asked for", options_.asked_threads);
    case Bound::cpus:
      return fmt::format("{} CPUs to run on", now_.cpus);
    case Bound::quota:
      return now_.quota_permille ? "quota " + cpus_text(*now_.quota_permille) : "no quota";
    case Bound::foreign:
      return "foreign load " + cpus_text(demand_permille_);
    case Bound::heat:
      return now_.temperature_c ? fmt::format("temperature {} C", *now_.temperature_c) : "no temperature";
    case Bound::power_save:
      return "policy power_save";
  }
  QVL_CHECK(false);
}

void ControlLoop::decide_threads() {
  Bound tightest = Bound::asked;
  for (Bound bound : {Bound::cpus, Bound::quota, Bound::foreign, Bound::heat, Bound::power_save}) {
    if (bound_of(bound) < bound_of(tightest)) tightest = bound;
  }
  const int threads = bound_of(tightest), before = adjustment_.threads;
  // More threads are owed to the bound that held them down before, fewer to the one that does so now.
  if (threads != before) {
    note(fmt::format("threads {} -> {}: {}", before, threads,
                     reason_of(threads > before ? bound_ : tightest)));
  }
  bound_ = tightest;
  adjustment_.threads = threads;
}

void ControlLoop::decide_spinning() {
  // A quota is spent by waiting awake as by computing, unless the threads cannot use it up.
  std::string reason = "processors are free";
  Spinning spinning = Spinning::off;
  if (options_.policy == PowerPolicy::power_save) {
    reason = reason_of(Bound::power_save);
  } else if (now_.quota_permille && *now_.quota_permille < 1000 * adjustment_.threads + 500) {
    reason = reason_of(Bound::quota);
  } else if (foreign_.noticeable()) {
    reason = reason_of(Bound::foreign);
  } else if (cpu_pressure_.value() > 0) {
    reason = fmt::format("cpu pressure {} (foreign load unknown)",
                         percent_text(now_.cpu_pressure_permille.value_or(0)));
  } else if (heat_.value() > 0) {
    reason = reason_of(Bound::heat);
  } else {
    spinning = Spinning::allowed;
  }
  if (spinning != adjustment_.spinning) {
    note(fmt::format("spinning {} -> {}: {}", spinning_text(adjustment_.spinning), spinning_text(spinning),
                     reason));
  }
  adjustment_.spinning = spinning;
}

void ControlLoop::decide_duty() {
  const bool saves = options_.policy == PowerPolicy::power_save, battery = now_.power == PowerSource::battery;
  const int rest = saves ? 1000 - options_.power_save_duty_permille : 0;
  const int of_policy = std::max(1000 - (battery ? rest + rest / 2 : rest), 1);
  const int of_heat = 1000 - 100 * std::max(heat_.value() - now_.cpus / 2, 0);
  const int before_of_policy = std::exchange(policy_duty_permille_, of_policy);
  const int duty = std::min(of_policy, of_heat), before = adjustment_.duty_permille;
  if (duty == before) return;
  const bool by_heat = of_heat < of_policy || (duty > before && before < before_of_policy);
  note(fmt::format("duty {} -> {}: {}", percent_text(before), percent_text(duty),
                   by_heat   ? reason_of(Bound::heat)
                   : battery ? "policy power_save on battery"
                             : "policy power_save on mains"));
  adjustment_.duty_permille = duty;
}

// A chunk is to take about the same time whatever the speed, and half the scratch memory under heavy
// pressure.
void ControlLoop::decide_chunk() {
  const int threads = adjustment_.threads;
  const int alone = std::clamp(now_.cpus - foreign_.busy_programs(), 0, threads);
  int64_t speed = 1000 * int64_t{alone} + 500 * int64_t{threads - alone};
  speed = std::min<int64_t>(speed, now_.quota_permille.value_or(1000 * kMostCpus)) *
          adjustment_.duty_permille / 1000;
  const int64_t full_speed = 1000 * int64_t{std::min(options_.asked_threads, now_.cpus)};
  const bool short_of_memory = memory_.value() > kCacheSteps / 2;
  int64_t chunk =
      options_.prefill_chunk * std::min(speed, full_speed) / full_speed / (short_of_memory ? 2 : 1);
  chunk = std::max<int64_t>(chunk / 16 * 16, options_.least_prefill_chunk);
  const uint32_t before = adjustment_.prefill_chunk,
                 after = static_cast<uint32_t>(std::min<int64_t>(chunk, options_.prefill_chunk));
  if (after == before) return;
  const std::string speed_text =
      percent_text(static_cast<int>(1000 * std::min(speed, full_speed) / full_speed)) + " of full speed";
  note(fmt::format("prefill chunk {} -> {}: {}{}", before, after, speed_text,
                   short_of_memory ? ", " + memory_reason_ : ""));
  adjustment_.prefill_chunk = after;
}

void ControlLoop::decide_caches() {
  const uint64_t bytes =
      options_.cache_bytes / kCacheSteps * static_cast<uint64_t>(kCacheSteps - memory_.value()) +
      (memory_.value() == 0 ? options_.cache_bytes % kCacheSteps : 0);
  const uint64_t before = adjustment_.cache_bytes;
  if (bytes == before) return;
  note(fmt::format("caches {} -> {}: {}", bytes_text(before), bytes_text(bytes),
                   bytes < before ? memory_reason_ : "no memory pressure"));
  adjustment_.cache_bytes = bytes;
}

void ControlLoop::note(std::string text) {
  adjustment_.cause += (adjustment_.cause.empty() ? "" : "; ") + text;
  if (changes_.size() == options_.most_changes) {
    changes_.pop_front();
    ++forgotten_changes_;
  }
  changes_.push_back({.at_us = now_.now_us, .text = std::move(text)});
}

}  // namespace qvl::scheduling
