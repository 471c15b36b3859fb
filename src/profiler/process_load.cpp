#include "profiler/process_load.h"

#include <algorithm>
#include <map>

#include "base/checked.h"
#include "base/error.h"
#include "profiler/fields.h"

namespace qvl {
namespace {

constexpr size_t kMostThreads = 4096;

struct StatLine {
  std::string_view name;
  std::string_view state;
  uint64_t ticks = 0, start_ticks = 0;
  int cpu = 0;
};

// "PID (NAME) STATE ...": the name may hold blanks and brackets, so the fields begin after the last one.
// Numbers are those of proc(5): user time is 14, system time 15, start 22, processor 39.
std::optional<StatLine> parse_stat(std::string_view text) {
  const size_t name_begin = text.find('('), name_end = text.rfind(')');
  if (name_end == std::string_view::npos || name_begin > name_end) return std::nullopt;
  StatLine line{.name = text.substr(name_begin + 1, name_end - name_begin - 1), .state = {}};
  std::string_view rest = text.substr(name_end + 1);
  std::optional<uint64_t> user, system, start, cpu;
  for (int field = 3; field <= 39; ++field) {
    const std::string_view word = take_word(rest);
    if (field == 3) line.state = word;
    if (field == 14) user = parse_counter(word);
    if (field == 15) system = parse_counter(word);
    if (field == 22) start = parse_counter(word);
    if (field == 39) cpu = parse_counter(word);
  }
  const auto ticks = user && system ? checked_add(*user, *system) : std::nullopt;
  if (!ticks || !start || !cpu || *cpu > 1 << 20) return std::nullopt;
  line.ticks = *ticks;
  line.start_ticks = *start;
  line.cpu = static_cast<int>(*cpu);
  return line;
}

std::vector<ProcessCounters::Thread> read_threads(const SystemFiles& files, const std::string& folder) {
  std::vector<ProcessCounters::Thread> threads;
  for (const std::string& name : files.names(folder)) {
    if (threads.size() == kMostThreads) break;
    const auto id = numbered(name, "");
    const auto text = id ? files.read(folder + "/" + name + "/stat") : std::nullopt;
    const auto line = text ? parse_stat(*text) : std::nullopt;
    if (line) threads.push_back({.id = static_cast<uint32_t>(*id), .ticks = line->ticks, .cpu = line->cpu});
  }
  std::sort(threads.begin(), threads.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return threads;
}

}  // namespace

std::optional<ProcessCounters> read_process_counters(const SystemFiles& files, uint32_t pid) {
  const std::string folder = fmt::format("/proc/{}", pid);
  const auto text = files.read(folder + "/stat");
  const auto line = text ? parse_stat(*text) : std::nullopt;
  if (!line || line->state == "Z" || line->state == "X") return std::nullopt;
  ProcessCounters out{.pid = pid,
                      .start_ticks = line->start_ticks,
                      .name = printable(line->name),
                      .ticks = line->ticks,
                      .threads = read_threads(files, folder + "/task")};
  if (const auto status = files.read(folder + "/status")) {
    out.rss_bytes = kilobyte_field(*status, "VmRSS:");
    out.swapped_bytes = kilobyte_field(*status, "VmSwap:");
  }
  return out;
}

std::optional<uint64_t> own_start_ticks(const SystemFiles& files) {
  const auto text = files.read("/proc/self/stat");
  const auto line = text ? parse_stat(*text) : std::nullopt;
  return line ? std::optional(line->start_ticks) : std::nullopt;
}

std::optional<ProcessLoad> process_load(const ProcessCounters& before, const ProcessCounters& after,
                                        const CpuLoad& machine) {
  if (before.pid != after.pid || before.start_ticks != after.start_ticks || after.ticks < before.ticks ||
      machine.total_ticks <= 0) {
    return std::nullopt;
  }
  const double cpus_per_tick = machine.cpus / machine.total_ticks;
  ProcessLoad load{.cpus = static_cast<double>(after.ticks - before.ticks) * cpus_per_tick};
  std::map<int, uint64_t> ticks_on;
  auto old = before.threads.begin();
  for (const ProcessCounters::Thread& thread : after.threads) {
    while (old != before.threads.end() && old->id < thread.id) ++old;
    const bool known = old != before.threads.end() && old->id == thread.id && old->ticks <= thread.ticks;
    ticks_on[thread.cpu] += known ? thread.ticks - old->ticks : thread.ticks;
  }
  for (const auto& [cpu, ticks] : ticks_on) {
    const double share = std::min(static_cast<double>(ticks) * cpus_per_tick, 1.0);
    if (share > 0) load.each.push_back({.cpu = cpu, .busy = share});
  }
  return load;
}

}  // namespace qvl
