#include "threads/topology.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "base/checked.h"
#include "base/error.h"

namespace qvl {
namespace {

constexpr std::string_view kCpus = "/sys/devices/system/cpu";

// Cores below this share of the largest capacity, or of the highest frequency, count as efficiency cores.
// Cores that merely clock higher than their like ("favoured") are within a tenth; small ones reach 0.2 to
// 0.72.
constexpr int64_t kSmallCoreParts = 3, kSmallCoreOf = 4;

std::string cpu_file(int cpu, std::string_view name) { return fmt::format("{}/cpu{}/{}", kCpus, cpu, name); }

std::optional<CpuSet> read_list(const SystemFiles& files, const std::string& path) {
  const auto line = files.first_line(path);
  return line ? parse_cpu_list(*line) : std::nullopt;
}

// A number that fits int and is not negative: the kernel writes -1 for "none".
std::optional<int> read_index(const SystemFiles& files, const std::string& path) {
  const auto number = files.number(path);
  if (!number || *number < 0 || *number > std::numeric_limits<int>::max()) return std::nullopt;
  return static_cast<int>(*number);
}

// Processors of one core; nothing where the file is missing or leaves out the processor it belongs to.
std::optional<CpuSet> read_siblings(const SystemFiles& files, int cpu) {
  for (std::string_view name :
       {"topology/core_cpus_list", "topology/thread_siblings_list"}) {  // new, old name
    const auto list = read_list(files, cpu_file(cpu, name));
    if (list && list->contains(cpu)) return list;
  }
  return std::nullopt;
}

// Fills in cores; whether any was told. Processors that agree on their siblings are one core.
bool read_cores(const SystemFiles& files, const CpuSet& online, std::vector<Cpu>& cpus) {
  std::map<std::vector<int>, int> first_of;
  bool told = false;
  for (Cpu& cpu : cpus) {
    const auto siblings = read_siblings(files, cpu.id);
    told = told || siblings.has_value();
    cpu.core = cpu.id;
    if (!siblings) continue;
    const CpuSet here = *siblings & online;
    cpu.core = first_of.try_emplace(std::vector<int>(here.begin(), here.end()), cpu.id).first->second;
  }
  return told;
}

void read_numa_nodes(const SystemFiles& files, std::vector<Cpu>& cpus) {
  constexpr std::string_view folder = "/sys/devices/system/node";
  for (const std::string& name : files.names(folder)) {
    if (!name.starts_with("node")) continue;
    const auto node = parse_whole(std::string_view(name).substr(4));
    if (!node || *node < 0 || *node >= CpuSet::kMostCpus) continue;
    const auto members = read_list(files, fmt::format("{}/{}/cpulist", folder, name));
    if (!members) continue;
    for (Cpu& cpu : cpus) {
      if (members->contains(cpu.id)) cpu.numa_node = static_cast<int>(*node);
    }
  }
}

void mark_efficiency(std::vector<Cpu>& cpus, const CpuSet& efficiency) {
  for (Cpu& cpu : cpus) {
    if (efficiency.contains(cpu.id)) cpu.kind = CpuKind::efficiency;
  }
}

// Intel's hybrid processors have a performance counter unit for each kind of core.
bool kinds_from_counter_units(const SystemFiles& files, const CpuSet& online, std::vector<Cpu>& cpus) {
  const auto core = read_list(files, "/sys/devices/cpu_core/cpus");
  if (!core || (*core & online).empty()) return false;
  CpuSet others;
  for (int cpu : online) {
    if (!core->contains(cpu)) others.add(cpu);
  }
  mark_efficiency(cpus, others);
  return true;
}

// By a number that every processor must tell.
bool kinds_from_number(const SystemFiles& files, std::string_view name, std::vector<Cpu>& cpus) {
  std::map<int, int64_t> numbers;
  int64_t most = 0;
  for (const Cpu& cpu : cpus) {
    const auto number = files.number(cpu_file(cpu.id, name));
    if (!number || *number <= 0 || *number > std::numeric_limits<int64_t>::max() / kSmallCoreOf) return false;
    numbers[cpu.id] = *number;
    most = std::max(most, *number);
  }
  CpuSet small;
  for (const auto& [cpu, number] : numbers) {
    if (number * kSmallCoreOf < most * kSmallCoreParts) small.add(cpu);
  }
  mark_efficiency(cpus, small);
  return true;
}

std::string_view read_kinds(const SystemFiles& files, const CpuSet& online, std::vector<Cpu>& cpus) {
  if (kinds_from_counter_units(files, online, cpus)) return "cpu_core";
  if (kinds_from_number(files, "cpu_capacity", cpus)) return "cpu_capacity";
  if (kinds_from_number(files, "cpufreq/cpuinfo_max_freq", cpus)) return "cpuinfo_max_freq";
  return "";
}

// "32K", "16M"; nothing for other text, or more than fits.
std::optional<uint64_t> parse_size(std::string_view text) {
  constexpr std::string_view units = "KMG";
  uint64_t unit = 1;
  if (const size_t power = text.empty() ? text.npos : units.find(text.back()); power != text.npos) {
    unit = uint64_t{1} << (10 * (power + 1));
    text.remove_suffix(1);
  }
  const auto number = parse_whole(text);
  if (!number || *number <= 0) return std::nullopt;
  return checked_mul(static_cast<uint64_t>(*number), unit);
}

std::optional<CpuCache> read_cache(const SystemFiles& files, const std::string& folder,
                                   const CpuSet& online) {
  constexpr std::pair<std::string_view, CpuCache::Type> types[] = {
      {"Data", CpuCache::Type::data},
      {"Instruction", CpuCache::Type::instruction},
      {"Unified", CpuCache::Type::unified}};
  const auto level = read_index(files, folder + "/level");
  const auto size = parse_size(files.first_line(folder + "/size").value_or(""));
  const auto cpus = read_list(files, folder + "/shared_cpu_list");
  if (!level || *level < 1 || *level > 9 || !size || !cpus) return std::nullopt;
  const std::string type = files.first_line(folder + "/type").value_or("");
  for (const auto& [name, value] : types) {
    if (type == name)
      return CpuCache{.level = *level, .type = value, .size_bytes = *size, .cpus = *cpus & online};
  }
  return std::nullopt;
}

std::vector<CpuCache> read_caches(const SystemFiles& files, const CpuSet& online) {
  std::vector<CpuCache> out;
  for (int cpu : online) {
    const std::string folder = cpu_file(cpu, "cache");
    for (const std::string& name : files.names(folder)) {
      if (!name.starts_with("index")) continue;
      auto cache = read_cache(files, folder + "/" + name, online);
      if (!cache || !cache->cpus.contains(cpu)) continue;
      if (std::find(out.begin(), out.end(), *cache) == out.end()) out.push_back(std::move(*cache));
    }
  }
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.level < b.level; });
  return out;
}

template <typename Member>
int distinct(const std::vector<Cpu>& cpus, Member member) {
  std::set<int> values;
  for (const Cpu& cpu : cpus) values.insert(cpu.*member);
  return static_cast<int>(values.size());
}

}  // namespace

CpuSet Topology::online() const {
  CpuSet out;
  for (const Cpu& cpu : cpus) out.add(cpu.id);
  return out;
}

int Topology::cores() const { return distinct(cpus, &Cpu::core); }
int Topology::packages() const { return distinct(cpus, &Cpu::package); }
int Topology::numa_nodes() const { return distinct(cpus, &Cpu::numa_node); }

std::optional<Cpu> Topology::find(int id) const {
  const auto found =
      std::lower_bound(cpus.begin(), cpus.end(), id, [](const Cpu& a, int b) { return a.id < b; });
  if (found == cpus.end() || found->id != id) return std::nullopt;
  return *found;
}

CpuSet Topology::siblings(const Cpu& cpu) const {
  CpuSet out;
  for (const Cpu& other : cpus) {
    if (other.core == cpu.core) out.add(other.id);
  }
  return out;
}

std::optional<CpuSet> read_online_cpus(const SystemFiles& files) {
  auto online = read_list(files, fmt::format("{}/online", kCpus));
  if (!online || online->empty()) return std::nullopt;
  return online;
}

Topology read_topology(const SystemFiles& files, const CpuSet& fallback) {
  QVL_CHECK(!fallback.empty());
  Topology out;
  const auto told = read_online_cpus(files);
  const CpuSet online = told.value_or(fallback);
  for (int cpu : online) {
    out.cpus.push_back({.id = cpu, .core = cpu});
    out.cpus.back().package = read_index(files, cpu_file(cpu, "topology/physical_package_id")).value_or(0);
  }
  const bool cores = read_cores(files, online, out.cpus);
  read_numa_nodes(files, out.cpus);
  const std::string_view kinds = read_kinds(files, online, out.cpus);
  out.caches = read_caches(files, online);
  out.source = told ? std::string(kCpus) : "the affinity of the process";
  if (!cores) out.source += ", every CPU taken as a core";
  if (!kinds.empty()) out.source += fmt::format(", kinds from {}", kinds);
  return out;
}

}  // namespace qvl
