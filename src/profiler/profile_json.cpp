#include "profiler/profile_json.h"

namespace qvl {
namespace {

// Writes only what is known.
template <typename Value>
void put(OrderedJson& out, const char* key, const std::optional<Value>& value) {
  if (value) out[key] = *value;
}

template <typename List, typename Write>
OrderedJson array_of(const List& list, Write write) {
  OrderedJson out = OrderedJson::array();
  for (const auto& entry : list) out.push_back(write(entry));
  return out;
}

template <typename List, typename Write>
void put_list(OrderedJson& out, const char* key, const List& list, Write write) {
  if (!list.empty()) out[key] = array_of(list, write);
}

OrderedJson cpu_json(const CpuLoad& cpu) {
  OrderedJson out = {{"cpus", cpu.cpus}, {"busy_cpus", cpu.busy_cpus}};
  put(out, "own_cpus", cpu.own_cpus);
  put(out, "foreign_cpus", cpu.foreign_cpus);
  out["iowait_cpus"] = cpu.iowait_cpus;
  out["stolen_cpus"] = cpu.stolen_cpus;
  put_list(out, "each", cpu.each, [](const CpuLoad::One& one) {
    return OrderedJson{{"cpu", one.cpu}, {"busy", one.busy}};
  });
  return out;
}

OrderedJson disk_json(const DiskLoad& disk) {
  OrderedJson out = {{"name", disk.name}};
  put(out, "read_bytes_per_s", disk.read_bytes_per_s);
  put(out, "written_bytes_per_s", disk.written_bytes_per_s);
  put(out, "busy", disk.busy);
  return out;
}

OrderedJson network_json(const NetworkLoad& interface) {
  OrderedJson out = {{"name", interface.name}};
  put(out, "received_bytes_per_s", interface.received_bytes_per_s);
  put(out, "sent_bytes_per_s", interface.sent_bytes_per_s);
  return out;
}

OrderedJson memory_json(const MemoryUse& memory) {
  OrderedJson out = OrderedJson::object();
  put(out, "rss_bytes", memory.rss_bytes);
  put(out, "pss_bytes", memory.pss_bytes);
  put(out, "swapped_bytes", memory.swapped_bytes);
  put(out, "total_bytes", memory.total_bytes);
  put(out, "available_bytes", memory.available_bytes);
  put(out, "swap_total_bytes", memory.swap_total_bytes);
  put(out, "swap_free_bytes", memory.swap_free_bytes);
  return out;
}

void put_stall(OrderedJson& out, const char* key, const std::optional<Stall>& stall) {
  if (!stall) return;
  out[key] = {{"avg10", stall->avg10}, {"avg60", stall->avg60}, {"total_us", stall->total_us}};
}

void put_pressure(OrderedJson& out, const char* key, const PressureSet& set) {
  OrderedJson resources = OrderedJson::object();
  const auto put_resource = [&](const char* name, const std::optional<Pressure>& pressure) {
    if (!pressure) return;
    put_stall(resources[name], "some", pressure->some);
    put_stall(resources[name], "full", pressure->full);
  };
  put_resource("cpu", set.cpu);
  put_resource("memory", set.memory);
  put_resource("io", set.io);
  if (!resources.empty()) out[key] = std::move(resources);
}

OrderedJson frequency_json(const CpuFrequency& frequency) {
  OrderedJson out = {{"cpu", frequency.cpu}, {"mhz", frequency.mhz}};
  put(out, "most_mhz", frequency.most_mhz);
  return out;
}

OrderedJson temperature_json(const Temperature& temperature) {
  OrderedJson out = {{"name", temperature.name}, {"celsius", temperature.celsius}};
  put(out, "limit_c", temperature.limit_c);
  return out;
}

const char* name_of(BatteryState state) {
  switch (state) {
    case BatteryState::charging:
      return "charging";
    case BatteryState::discharging:
      return "discharging";
    case BatteryState::full:
      return "full";
    case BatteryState::not_charging:
      return "not_charging";
    case BatteryState::unknown:
      break;
  }
  return "unknown";
}

void put_power(OrderedJson& out, const PowerSupply& power) {
  OrderedJson supply = OrderedJson::object();
  put(supply, "on_mains", power.on_mains);
  put_list(supply, "batteries", power.batteries, [](const Battery& battery) {
    OrderedJson one = {{"name", battery.name}, {"state", name_of(battery.state)}};
    put(one, "percent", battery.percent);
    put(one, "power_watts", battery.power_watts);
    return one;
  });
  if (!supply.empty()) out["power"] = std::move(supply);
}

OrderedJson gpu_json(const GpuLoad& gpu) {
  OrderedJson out = {{"gpu", gpu.gpu}};
  put(out, "busy", gpu.busy);
  put(out, "memory_busy", gpu.memory_busy);
  put(out, "memory_used_bytes", gpu.memory_used_bytes);
  put(out, "memory_free_bytes", gpu.memory_free_bytes);
  put(out, "celsius", gpu.celsius);
  put(out, "power_watts", gpu.power_watts);
  put_list(out, "processes", gpu.processes, [](const GpuProcess& process) {
    OrderedJson one = {{"pid", process.pid}};
    put(one, "memory_bytes", process.memory_bytes);
    return one;
  });
  return out;
}

const char* name_of(DiskKind kind) {
  switch (kind) {
    case DiskKind::solid_state:
      return "solid_state";
    case DiskKind::rotating:
      return "rotating";
    case DiskKind::unknown:
      break;
  }
  return "unknown";
}

}  // namespace

OrderedJson to_json(const Sample& sample) {
  OrderedJson out = {{"time_s", static_cast<double>(sample.time_ns) * 1e-9},
                     {"cost_ms", static_cast<double>(sample.cost_ns) * 1e-6}};
  const Rates& rates = sample.rates;
  put(out, "interval_s", rates.interval_s);
  if (rates.cpu) out["cpu"] = cpu_json(*rates.cpu);
  put_list(out, "disks", rates.disks, disk_json);
  put_list(out, "network", rates.network, network_json);
  put_list(out, "energy", rates.energy, [](const EnergyUse& use) {
    return OrderedJson{{"name", use.name}, {"joules", use.joules}, {"watts", use.watts}};
  });
  if (sample.memory) out["memory"] = memory_json(*sample.memory);
  put_pressure(out, "pressure", sample.machine_pressure);
  put_pressure(out, "own_pressure", sample.own_pressure);
  put_list(out, "frequencies", sample.frequencies, frequency_json);
  put_list(out, "temperatures", sample.temperatures, temperature_json);
  put_power(out, sample.power);
  put_list(out, "gpus", sample.gpus, gpu_json);
  return out;
}

OrderedJson to_json(const DiskFacts& disk) {
  OrderedJson out = {{"name", disk.name}};
  put(out, "model", disk.model);
  put(out, "size_bytes", disk.size_bytes);
  out["kind"] = name_of(disk.kind);
  return out;
}

OrderedJson to_json(const GpuFacts& gpu) {
  OrderedJson out = OrderedJson::object();
  put(out, "name", gpu.name);
  if (const auto& capability = gpu.compute_capability) {
    out["compute_capability"] = fmt::format("{}.{}", capability->major, capability->minor);
  }
  put(out, "memory_bytes", gpu.memory_bytes);
  return out;
}

}  // namespace qvl
