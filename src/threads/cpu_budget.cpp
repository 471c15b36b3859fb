#include "threads/cpu_budget.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "threads/os_thread.h"

namespace qvl {
namespace {

std::optional<double> ratio(std::optional<int64_t> quota_us, std::optional<int64_t> period_us) {
  if (!quota_us || !period_us || *quota_us <= 0 || *period_us <= 0) return std::nullopt;
  return static_cast<double>(*quota_us) / static_cast<double>(*period_us);
}

// Version 2: "QUOTA PERIOD", or "max PERIOD" for none. Version 1: two files, the quota -1 for none.
std::optional<double> group_quota(const SystemFiles& files, const Cgroup& group) {
  if (group.version == Cgroup::Version::v1) {
    return ratio(files.number(group.folder + "/cpu.cfs_quota_us"),
                 files.number(group.folder + "/cpu.cfs_period_us"));
  }
  const std::string line = files.first_line(group.folder + "/cpu.max").value_or("");
  const size_t space = line.find(' ');
  if (space == std::string::npos) return std::nullopt;
  return ratio(parse_whole(std::string_view(line).substr(0, space)),
               parse_whole(std::string_view(line).substr(space)));
}

// Where a processor stands in the order of CpuBudget::cpus: the least tuple first.
using Rank = std::tuple<int, int, int, int, int>;  // tier, -processors of the package, package, node, id

std::vector<int> ordered(const std::vector<Cpu>& cpus) {
  std::map<int, int> in_package;
  for (const Cpu& cpu : cpus) ++in_package[cpu.package];
  std::set<int> cores_taken;
  std::vector<Rank> ranks;
  for (const Cpu& cpu : cpus) {
    const bool first_of_core = cores_taken.insert(cpu.core).second;
    const int tier = !first_of_core ? 2 : cpu.kind == CpuKind::performance ? 0 : 1;
    ranks.emplace_back(tier, -in_package[cpu.package], cpu.package, cpu.numa_node, cpu.id);
  }
  std::sort(ranks.begin(), ranks.end());
  std::vector<int> out;
  for (const Rank& rank : ranks) out.push_back(std::get<4>(rank));
  return out;
}

int threads_within(int cpus, const std::optional<CpuQuota>& quota) {
  if (!quota || quota->cpus >= cpus) return cpus;
  return std::max(1, static_cast<int>(std::floor(quota->cpus)));
}

std::string describe(const CpuBudget& budget, const CpuSet& permitted) {
  std::string out =
      fmt::format("{} {}: {} {} on {} {}", budget.threads, budget.threads == 1 ? "thread" : "threads",
                  permitted.size() == 1 ? "CPU" : "CPUs", permitted.list(), budget.cores,
                  budget.cores == 1 ? "core" : "cores");
  if (budget.quota)
    out += fmt::format(", quota {:.4g} of {}", budget.quota->cpus, printable(budget.quota->folder));
  return out;
}

}  // namespace

std::optional<CpuQuota> read_cpu_quota(const SystemFiles& files) {
  std::optional<CpuQuota> least;
  for (Cgroup& group : enclosing_cgroups(files, "cpu")) {
    const auto quota = group_quota(files, group);
    if (quota && (!least || *quota < least->cpus))
      least = {.cpus = *quota, .folder = std::move(group.folder)};
  }
  return least;
}

std::optional<CpuSet> read_cpuset(const SystemFiles& files) {
  for (const Cgroup& group : enclosing_cgroups(files, "cpuset")) {
    const bool v1 = group.version == Cgroup::Version::v1;
    const auto line =
        files.first_line(group.folder + (v1 ? "/cpuset.effective_cpus" : "/cpuset.cpus.effective"));
    auto cpus = line ? parse_cpu_list(*line) : std::nullopt;
    if (cpus && !cpus->empty()) return cpus;
  }
  return std::nullopt;
}

CpuSet masked_affinity(const CpuSet& affinity, const std::optional<CpuSet>& mask) {
  if (!mask) return affinity;
  CpuSet out = affinity & *mask;
  if (out.empty()) {
    fail(ErrorCode::usage, "cpu_affinity_mask: found {}, expected at least one CPU of {} (CPUs {})",
         mask->mask(), affinity.mask(), affinity.list());
  }
  return out;
}

CpuBudget make_cpu_budget(const Topology& topology, const CpuSet& permitted, std::optional<CpuQuota> quota) {
  QVL_CHECK(!permitted.empty());
  std::vector<Cpu> cpus;
  std::set<int> cores;
  for (int id : permitted) {
    cpus.push_back(topology.find(id).value_or(Cpu{.id = id, .core = id}));
    cores.insert(cpus.back().core);
  }
  CpuBudget out{.cpus = ordered(cpus),
                .cores = static_cast<int>(cores.size()),
                .threads = threads_within(permitted.size(), quota),
                .quota = std::move(quota),
                .cause = ""};
  out.cause = describe(out, permitted);
  return out;
}

CpuBudget cpu_budget(const SystemFiles& files, const std::optional<CpuSet>& mask) {
  const CpuSet affinity = this_thread_affinity();
  return make_cpu_budget(read_topology(files, affinity), masked_affinity(affinity, mask),
                         read_cpu_quota(files));
}

}  // namespace qvl
