// How many processors this process may really use, and which its threads take first.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/system_files.h"
#include "threads/cpu_set.h"
#include "threads/topology.h"

namespace qvl {

/// The tightest limit of processor time among the groups around this process.
struct CpuQuota {
  double cpus = 0;     ///< processors' worth of time, above 0; often no whole number
  std::string folder;  ///< the group that sets it

  bool operator==(const CpuQuota&) const = default;
};

struct CpuBudget {
  /// In the order in which threads take them, at least one: one processor of each performance core, one of
  /// each efficiency core, then what shares a core with one of those. Whole packages first, the largest
  /// leading.
  std::vector<int> cpus;
  int cores = 1;    ///< physical cores among them; no more threads than this can gain much
  int threads = 1;  ///< threads that may compute at once: one a processor, at most the quota rounded down
  std::optional<CpuQuota> quota;
  std::string
      cause;  ///< one line for reports: "2 threads: CPUs 0-3 on 4 cores, quota 2.5 of /sys/fs/cgroup/a"

  bool operator==(const CpuBudget&) const = default;
};

/// The least quota of all enclosing groups of controller "cpu", version 1 or 2; nothing where none sets one.
std::optional<CpuQuota> read_cpu_quota(const SystemFiles& files);

/// What the nearest enclosing group of controller "cpuset" leaves to its processes; nothing where none tells.
std::optional<CpuSet> read_cpuset(const SystemFiles& files);

/// `affinity` within `mask`, where there is one. Throws Error{usage} naming both where nothing is left.
CpuSet masked_affinity(const CpuSet& affinity, const std::optional<CpuSet>& mask);

/// The budget of a process that may run on `permitted` (not empty). Processors the topology does not know
/// count as performance cores.
CpuBudget make_cpu_budget(const Topology& topology, const CpuSet& permitted, std::optional<CpuQuota> quota);

/// All of the above for the calling thread. Throws as masked_affinity().
CpuBudget cpu_budget(const SystemFiles& files = SystemFiles(), const std::optional<CpuSet>& mask = {});

}  // namespace qvl
