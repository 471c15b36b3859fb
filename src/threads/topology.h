// Which processors are online, and what they share: cores, packages, memory nodes, caches.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/system_files.h"
#include "threads/cpu_set.h"

namespace qvl {

/// All are `performance` on a machine whose cores are alike.
enum class CpuKind { performance, efficiency };

/// A logical processor.
struct Cpu {
  int id = 0;
  int core = 0;       ///< id of the first online processor of its core
  int package = 0;    ///< socket, as the kernel numbers them
  int numa_node = 0;  ///< as the kernel numbers them
  CpuKind kind = CpuKind::performance;

  bool operator==(const Cpu&) const = default;
};

struct CpuCache {
  enum class Type { data, instruction, unified };
  int level = 1;
  Type type = Type::unified;
  uint64_t size_bytes = 0;
  CpuSet cpus;  ///< online processors that share it

  bool operator==(const CpuCache&) const = default;
};

/// The online processors of a machine. A value.
struct Topology {
  std::vector<Cpu> cpus;         ///< by id, at least one
  std::vector<CpuCache> caches;  ///< each once, by level; empty where the kernel tells none
  std::string source;            ///< what the answer rests on, one line for reports

  CpuSet online() const;
  int cores() const;
  int packages() const;
  int numa_nodes() const;
  /// The processor `id`, nothing where it is not online.
  std::optional<Cpu> find(int id) const;
  /// All online processors of the core that `cpu` is on, itself included.
  CpuSet siblings(const Cpu& cpu) const;

  bool operator==(const Topology&) const = default;
};

/// Reads /sys/devices. What is missing or contradicts itself there falls back, processor by processor, to a
/// core of its own on package 0 and node 0. Where not even the online processors are told, each of `fallback`
/// (what this process may use, not empty) counts as a core.
Topology read_topology(const SystemFiles& files, const CpuSet& fallback);

/// The processors that are online now; nothing where the kernel does not tell.
std::optional<CpuSet> read_online_cpus(const SystemFiles& files);

}  // namespace qvl
