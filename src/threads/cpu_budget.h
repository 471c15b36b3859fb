// How many processors this process may really use.
#pragma once

namespace qvl {

/// Processors this process may use: its affinity mask, capped by the CPU quota of every enclosing cgroup (v1
/// and v2), at least 1.
int cpu_budget();

}  // namespace qvl
