#include "profiler/profile_json.h"

#include <gtest/gtest.h>

namespace qvl {
namespace {

TEST(ProfileJson, has_no_keys_for_what_is_not_known) {
  EXPECT_EQ(to_json(Sample{.time_ns = 1'500'000'000, .cost_ns = 250'000}).dump(),
            R"({"time_s":1.5,"cost_ms":0.25})");
}

TEST(ProfileJson, has_all_that_is_known) {
  Sample sample{.time_ns = 2'000'000'000, .cost_ns = 0};
  sample.rates = {
      .interval_s = 1.0,
      .cpu = CpuLoad{.cpus = 2,
                     .busy_cpus = 1.5,
                     .own_cpus = 1.0,
                     .foreign_cpus = 0.5,
                     .iowait_cpus = 0.25,
                     .stolen_cpus = 0,
                     .each = {{.cpu = 3, .busy = 0.5}}},
      .disks = {{.name = "sda", .read_bytes_per_s = 512.0, .written_bytes_per_s = {}, .busy = 0.5}},
      .network = {{.name = "eth0", .received_bytes_per_s = 1.0, .sent_bytes_per_s = 2.0}},
      .energy = {{.name = "psys", .joules = 3, .watts = 4}}};
  sample.memory = MemoryUse{.rss_bytes = 1,
                            .pss_bytes = 2,
                            .swapped_bytes = 3,
                            .total_bytes = 4,
                            .available_bytes = 5,
                            .swap_total_bytes = 6,
                            .swap_free_bytes = 7};
  sample.machine_pressure.memory =
      Pressure{.some = Stall{.avg10 = 1.5, .avg60 = 2.5, .total_us = 9}, .full = {}};
  sample.own_pressure.io = Pressure{.some = {}, .full = Stall{.avg10 = 0, .avg60 = 0, .total_us = 8}};
  sample.frequencies = {{.cpu = 0, .mhz = 1600, .most_mhz = 4200}};
  sample.temperatures = {{.name = "coretemp/Core 0", .celsius = 61.5, .limit_c = 100}};
  sample.power = {
      .on_mains = false,
      .batteries = {{.name = "BAT0", .state = BatteryState::charging, .percent = 50, .power_watts = {}}}};
  sample.gpus = {{.gpu = 0,
                  .busy = 0.5,
                  .memory_busy = {},
                  .memory_used_bytes = 10,
                  .memory_free_bytes = 20,
                  .celsius = 60,
                  .power_watts = 9.5,
                  .processes = {{.pid = 7, .memory_bytes = 5}, {.pid = 8, .memory_bytes = {}}}}};
  EXPECT_EQ(to_json(sample), OrderedJson::parse(R"({
    "time_s": 2.0, "cost_ms": 0.0, "interval_s": 1.0,
    "cpu": {"cpus": 2, "busy_cpus": 1.5, "own_cpus": 1.0, "foreign_cpus": 0.5, "iowait_cpus": 0.25,
            "stolen_cpus": 0.0, "each": [{"cpu": 3, "busy": 0.5}]},
    "disks": [{"name": "sda", "read_bytes_per_s": 512.0, "busy": 0.5}],
    "network": [{"name": "eth0", "received_bytes_per_s": 1.0, "sent_bytes_per_s": 2.0}],
    "energy": [{"name": "psys", "joules": 3.0, "watts": 4.0}],
    "memory": {"rss_bytes": 1, "pss_bytes": 2, "swapped_bytes": 3, "total_bytes": 4, "available_bytes": 5,
               "swap_total_bytes": 6, "swap_free_bytes": 7},
    "pressure": {"memory": {"some": {"avg10": 1.5, "avg60": 2.5, "total_us": 9}}},
    "own_pressure": {"io": {"full": {"avg10": 0.0, "avg60": 0.0, "total_us": 8}}},
    "frequencies": [{"cpu": 0, "mhz": 1600.0, "most_mhz": 4200.0}],
    "temperatures": [{"name": "coretemp/Core 0", "celsius": 61.5, "limit_c": 100.0}],
    "power": {"on_mains": false, "batteries": [{"name": "BAT0", "state": "charging", "percent": 50.0}]},
    "gpus": [{"gpu": 0, "busy": 0.5, "memory_used_bytes": 10, "memory_free_bytes": 20, "celsius": 60.0,
              "power_watts": 9.5, "processes": [{"pid": 7, "memory_bytes": 5}, {"pid": 8}]}]})"));
}

TEST(ProfileJson, of_hardware_has_the_compute_capability_as_it_is_written) {
  EXPECT_EQ(to_json(GpuFacts{.name = "MX250",
                             .compute_capability = GpuFacts::ComputeCapability{.major = 6, .minor = 1},
                             .memory_bytes = 2048})
                .dump(),
            R"({"name":"MX250","compute_capability":"6.1","memory_bytes":2048})");
  EXPECT_EQ(
      to_json(DiskFacts{.name = "sda", .model = {}, .size_bytes = 512, .kind = DiskKind::rotating}).dump(),
      R"({"name":"sda","size_bytes":512,"kind":"rotating"})");
}

}  // namespace
}  // namespace qvl
