#include "profiler/cpu_load.h"

#include <algorithm>

#include "base/checked.h"
#include "profiler/fields.h"

namespace qvl {
namespace {

constexpr size_t kMostCpus = 4096;

// The words after "cpu" or "cpuN". Old kernels have fewer; the first four are always there.
std::optional<CpuTicks> parse_ticks(std::string_view words) {
  CpuTicks ticks;
  uint64_t* const fields[] = {&ticks.user,   &ticks.nice, &ticks.system,  &ticks.idle,
                              &ticks.iowait, &ticks.irq,  &ticks.softirq, &ticks.steal};
  size_t read = 0;
  for (uint64_t* field : fields) {
    const std::string_view word = take_word(words);
    if (word.empty() && read >= 4) break;
    const auto value = parse_counter(word);
    if (!value) return std::nullopt;
    *field = *value;
    ++read;
  }
  return ticks;
}

// "PID (NAME) STATE ...": the name may hold blanks and brackets, so the fields begin after the last one.
std::optional<uint64_t> read_own_ticks(const SystemFiles& files) {
  const auto text = files.read("/proc/self/stat");
  if (!text) return std::nullopt;
  const size_t name_end = text->rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::string_view rest = std::string_view(*text).substr(name_end + 1);
  constexpr int kFieldsBeforeUserTime = 11;
  for (int field = 0; field < kFieldsBeforeUserTime; ++field) take_word(rest);
  const auto user = parse_counter(take_word(rest)), system = parse_counter(take_word(rest));
  return user && system ? checked_add(*user, *system) : std::nullopt;
}

struct Interval {
  double total = 0, busy = 0, iowait = 0, steal = 0;  // [ticks]
};

Interval interval(const CpuTicks& before, const CpuTicks& after) {
  const auto step = [&](uint64_t CpuTicks::*field) {
    return after.*field > before.*field ? static_cast<double>(after.*field - before.*field) : 0.0;
  };
  Interval out;
  out.busy = step(&CpuTicks::user) + step(&CpuTicks::nice) + step(&CpuTicks::system) + step(&CpuTicks::irq) +
             step(&CpuTicks::softirq);
  out.iowait = step(&CpuTicks::iowait);
  out.steal = step(&CpuTicks::steal);
  out.total = out.busy + out.iowait + out.steal + step(&CpuTicks::idle);
  return out;
}

// Both lists ascend. A processor that came or went in between has no load.
std::vector<CpuLoad::One> loads_of_each(const CpuCounters& before, const CpuCounters& after) {
  std::vector<CpuLoad::One> out;
  auto old = before.each.begin();
  for (const CpuCounters::One& now : after.each) {
    while (old != before.each.end() && old->cpu < now.cpu) ++old;
    if (old == before.each.end() || old->cpu != now.cpu) continue;
    const Interval ticks = interval(old->ticks, now.ticks);
    if (ticks.total > 0) out.push_back({.cpu = now.cpu, .busy = ticks.busy / ticks.total});
  }
  return out;
}

}  // namespace

std::optional<CpuCounters> read_cpu_counters(const SystemFiles& files) {
  const auto text = files.read("/proc/stat");
  if (!text) return std::nullopt;
  std::string_view rest = *text;
  std::string_view line = take_line(rest);
  if (take_word(line) != "cpu") return std::nullopt;
  const auto all = parse_ticks(line);
  if (!all) return std::nullopt;
  CpuCounters out{.all = *all, .each = {}, .own_ticks = read_own_ticks(files)};
  while (out.each.size() < kMostCpus) {
    line = take_line(rest);
    const auto cpu = numbered(take_word(line), "cpu");
    const auto ticks = cpu ? parse_ticks(line) : std::nullopt;
    if (!ticks || (!out.each.empty() && out.each.back().cpu >= *cpu)) break;
    out.each.push_back({.cpu = *cpu, .ticks = *ticks});
  }
  return out;
}

std::optional<CpuLoad> cpu_load(const CpuCounters& before, const CpuCounters& after) {
  const Interval ticks = interval(before.all, after.all);
  if (ticks.total <= 0) return std::nullopt;
  CpuLoad load;
  load.cpus = std::max(static_cast<int>(after.each.size()), 1);
  load.total_ticks = ticks.total;
  const double cpus_per_tick = load.cpus / ticks.total;
  load.busy_cpus = ticks.busy * cpus_per_tick;
  load.iowait_cpus = ticks.iowait * cpus_per_tick;
  load.stolen_cpus = ticks.steal * cpus_per_tick;
  load.each = loads_of_each(before, after);
  if (before.own_ticks && after.own_ticks && *after.own_ticks >= *before.own_ticks) {
    // The two files are read one after the other, and the own time is the more exact one.
    const auto own = static_cast<double>(*after.own_ticks - *before.own_ticks);
    load.own_cpus = std::min(own * cpus_per_tick, load.busy_cpus);
    load.foreign_cpus = load.busy_cpus - *load.own_cpus;
  }
  return load;
}

}  // namespace qvl
