#include "optimizer/plan.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "base/error.h"

namespace qvl {

uint64_t PlanInputs::memory_cap() const {
  if (memory_limit_bytes) return std::min(*memory_limit_bytes, hardware.usable_memory());
  return static_cast<uint64_t>(static_cast<double>(hardware.usable_memory()) * config.memory_limit_ratio);
}

std::vector<CpuFacts> PlanInputs::usable_cpus() const {
  struct Place {
    CpuFacts cpu;
    int turn;  // how many processors of the core come before
  };
  std::vector<Place> places;
  std::map<int, int> turns;
  for (const CpuFacts& cpu : hardware.cpus) {
    if (config.cpu_affinity_mask && !config.cpu_affinity_mask->contains(cpu.cpu)) continue;
    places.push_back({cpu, turns[cpu.core]++});
  }
  if (places.empty()) {
    fail(ErrorCode::usage, "cpu_affinity_mask: {} names none of the {} processors this process may use",
         config.cpu_affinity_mask->text(), hardware.cpus.size());
  }
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return std::tie(a.turn, a.cpu.kind, a.cpu.cpu) < std::tie(b.turn, b.cpu.kind, b.cpu.cpu);
  });
  std::vector<CpuFacts> cpus;
  for (const Place& place : places) cpus.push_back(place.cpu);
  return cpus;
}

int PlanInputs::usable_cores() const { return HardwareFacts{.cpus = usable_cpus()}.cores(); }

}  // namespace qvl
