#include "optimizer/hardware_facts.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "memory/memory_limit.h"
#include "memory/process_memory.h"

namespace qvl {
namespace {

// Linux can have as many; a longer list is not believed.
constexpr int64_t kMostCpus = 8192;

// The value of a line "NAME<blank or tab>: VALUE", without white space around it.
std::optional<std::string> field_of(const std::optional<std::string>& text, std::string_view name) {
  if (!text) return std::nullopt;
  constexpr std::string_view blank = " \t";
  for (std::string_view rest = *text; !rest.empty();) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (!line.starts_with(name)) continue;
    line.remove_prefix(name.size());
    line.remove_prefix(std::min(line.find_first_not_of(blank), line.size()));
    if (!line.starts_with(':')) continue;
    line.remove_prefix(1);
    line.remove_prefix(std::min(line.find_first_not_of(blank), line.size()));
    return std::string(line.substr(0, line.find_last_not_of(blank) + 1));
  }
  return std::nullopt;
}

// A list of processors as the kernel writes it: "0-3,8". Nothing where it is none.
std::optional<std::vector<int>> parse_cpu_list(std::string_view text) {
  std::vector<int> cpus;
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(item.size() + 1, text.size()));
    const size_t dash = item.find('-');
    const auto first = parse_whole(item.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_whole(item.substr(dash + 1));
    if (!first || !last || *first < 0 || *last < *first || *last >= kMostCpus) return std::nullopt;
    for (int64_t cpu = *first; cpu <= *last; ++cpu) cpus.push_back(static_cast<int>(cpu));
  }
  return cpus;
}

std::vector<int> read_cpu_list(const SystemFiles& files, std::string_view path) {
  const auto line = files.first_line(path);
  return line ? parse_cpu_list(*line).value_or(std::vector<int>{}) : std::vector<int>{};
}

// What the kernel says where its file is hidden; the first 1024 processors are enough then.
std::vector<int> affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(static_cast<size_t>(cpu), &set)) cpus.push_back(cpu);
    }
  }
  if (cpus.empty()) cpus.push_back(0);
  return cpus;
}

std::vector<CpuFacts> read_cpus(const SystemFiles& files) {
  const auto list = field_of(files.read("/proc/self/status"), "Cpus_allowed_list");
  std::vector<int> allowed = list ? parse_cpu_list(*list).value_or(std::vector<int>{}) : std::vector<int>{};
  if (allowed.empty()) allowed = affinity();
  const std::vector<int> efficient = read_cpu_list(files, "/sys/devices/cpu_atom/cpus");
  std::vector<CpuFacts> cpus;
  for (int cpu : allowed) {
    const auto siblings =
        read_cpu_list(files, fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cpu));
    const bool slow = std::find(efficient.begin(), efficient.end(), cpu) != efficient.end();
    cpus.push_back({.cpu = cpu,
                    .core = siblings.empty() ? cpu : siblings.front(),
                    .kind = slow ? CpuFacts::Kind::efficiency : CpuFacts::Kind::performance});
  }
  return cpus;
}

// Of version 1 two files, of version 2 one: "QUOTA PERIOD". A quota that is none ("max", -1) is no number
// above 0.
std::optional<double> quota_of(const SystemFiles& files, const Cgroup& group) {
  std::optional<int64_t> quota, period;
  if (group.version == Cgroup::Version::v1) {
    quota = files.number(group.folder + "/cpu.cfs_quota_us");
    period = files.number(group.folder + "/cpu.cfs_period_us");
  } else if (const auto line = files.first_line(group.folder + "/cpu.max")) {
    const size_t blank = std::min(line->find(' '), line->size());
    quota = parse_whole(std::string_view(*line).substr(0, blank));
    period = parse_whole(std::string_view(*line).substr(blank));
  }
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

std::optional<double> read_quota(const SystemFiles& files) {
  std::optional<double> least;
  for (const Cgroup& group : enclosing_cgroups(files, "cpu")) {
    if (const auto quota = quota_of(files, group)) least = std::min(least.value_or(*quota), *quota);
  }
  return least;
}

// The very limit that running keeps to, so that plan and run agree.
std::optional<uint64_t> read_memory_limit(const SystemFiles& files, uint64_t physical) {
  const uint64_t limit = memory_limit(files).bytes;
  return limit < physical ? std::optional(limit) : std::nullopt;
}

HugePageSupport read_huge_pages(const SystemFiles& files) {
  const auto line = files.first_line("/sys/kernel/mm/transparent_hugepage/enabled");
  if (!line) return HugePageSupport::never;
  if (line->find("[always]") != std::string::npos) return HugePageSupport::always;
  return line->find("[madvise]") != std::string::npos ? HugePageSupport::on_advice : HugePageSupport::never;
}

// The mean of the last minute: this process has only just begun, so it is the load of others. More of them
// than processors wait for one another.
double read_foreign_load(const SystemFiles& files, size_t processors) {
  const auto line = files.first_line("/proc/loadavg");
  if (!line) return 0;
  double load = 0;
  const auto result = std::from_chars(line->data(), line->data() + line->size(), load);
  if (result.ec != std::errc() || !std::isfinite(load) || load < 0) return 0;
  return std::min(load, static_cast<double>(processors));
}

}  // namespace

int HardwareFacts::cores() const {
  std::set<int> seen;
  for (const CpuFacts& cpu : cpus) seen.insert(cpu.core);
  return static_cast<int>(seen.size());
}

uint64_t HardwareFacts::usable_memory() const {
  return memory_limit_bytes ? std::min(memory_bytes, *memory_limit_bytes) : memory_bytes;
}

HardwareFacts read_hardware(const SystemFiles& files) {
  const uint64_t physical = machine_memory(files).total;
  HardwareFacts facts{.processor = field_of(files.read("/proc/cpuinfo"), "model name").value_or(""),
                      .cpus = read_cpus(files),
                      .cpu_quota = read_quota(files),
                      .memory_bytes = physical,
                      .memory_limit_bytes = read_memory_limit(files, physical),
                      .huge_pages = read_huge_pages(files)};
  facts.foreign_load = read_foreign_load(files, facts.cpus.size());
  for (Isa isa : all_isas()) {
    if (supported(isa)) facts.isas.push_back(isa);
  }
  return facts;
}

std::string fingerprint(const HardwareFacts& hardware) {
  std::string isas;
  for (Isa isa : hardware.isas) isas += fmt::format("{}{}", isas.empty() ? "" : " ", name_of(isa));
  constexpr uint64_t kGibibyte = uint64_t{1} << 30;
  return fmt::format("{}; {} cores, {} threads; {} GiB; {}", hardware.processor, hardware.cores(),
                     hardware.cpus.size(), (hardware.memory_bytes + kGibibyte / 2) / kGibibyte, isas);
}

}  // namespace qvl
