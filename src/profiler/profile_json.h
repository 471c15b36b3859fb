// Samples and hardware facts as JSON. A value that is not known has no key.
#pragma once

#include "base/json.h"
#include "profiler/sample.h"

namespace qvl {

/// Keys; units are the ends of their names, shares are from 0 to 1:
///
///   time_s, cost_ms            when (steady clock), and the processor time the sample took
///   interval_s                 between the readings that cpu, disks, network and energy compare
///   cpu                        cpus, busy_cpus, own_cpus, foreign_cpus, iowait_cpus, stolen_cpus (in
///   processors),
///                              each: [{cpu, busy}]
///   disks                      [{name, read_bytes_per_s, written_bytes_per_s, busy}]
///   network                    [{name, received_bytes_per_s, sent_bytes_per_s}]
///   energy                     [{name, joules, watts}]
///   memory                     rss_bytes, pss_bytes, swapped_bytes, total_bytes, available_bytes,
///                              swap_total_bytes, swap_free_bytes
///   pressure, own_pressure     cpu, memory, io: {some, full: {avg10, avg60 (per cent), total_us}}; of the
///                              machine, of the own cgroup
///   frequencies                [{cpu, mhz, most_mhz}]
///   temperatures               [{name, celsius, limit_c}]
///   power                      on_mains, batteries: [{name, state, percent, power_watts}]
///   gpus                       [{gpu, busy, memory_busy, memory_used_bytes, memory_free_bytes, celsius,
///                              power_watts, processes: [{pid, memory_bytes}]}]
OrderedJson to_json(const Sample& sample);

/// {name, model, size_bytes, kind: "solid_state" | "rotating" | "unknown"}
OrderedJson to_json(const DiskFacts& disk);

/// {name, compute_capability: "6.1", memory_bytes}
OrderedJson to_json(const GpuFacts& gpu);

}  // namespace qvl
