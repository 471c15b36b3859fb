// How much memory this process may use at most, and why no more.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/system_files.h"

namespace qvl {

struct MemoryLimit {
  uint64_t bytes = 0;
  std::string cause;  ///< "physical memory", "cgroup /sys/fs/cgroup/jobs memory.max"
};

/// The least of the physical memory and the limits of every enclosing cgroup: memory.limit_in_bytes and
/// memory.stat's hierarchical_memory_limit (which tells of ancestors that a container hides) of version 1,
/// memory.max and memory.high of version 2. Swap is not counted. A group that allows more than there is, as
/// version 1 writes "no limit", is none. Throws as machine_memory().
MemoryLimit memory_limit(const SystemFiles& files);

/// One line for who has asked for `asked_bytes`, where that is more than this process may use: "memory limit:
/// found 10.0 TiB, lowered to the 23.5 GiB of physical memory". Nothing where it is not.
std::optional<std::string> told_if_lowered(uint64_t asked_bytes, const SystemFiles& files);

}  // namespace qvl
