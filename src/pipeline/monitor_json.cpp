// A look at the machine as one JSON object.
#include <utility>

#include "base/json.h"
#include "qvl/monitor.h"

namespace qvl {
namespace {

// Writes only what is known.
template <typename Value>
void put(OrderedJson& out, const char* key, const std::optional<Value>& value) {
  if (value) out[key] = *value;
}

OrderedJson core_json(const CoreView& core) {
  OrderedJson out = {{"cpu", core.cpu}, {"busy", core.busy}, {"watched", core.watched}};
  put(out, "mhz", core.mhz);
  return out;
}

OrderedJson memory_json(const MemoryView& memory) {
  OrderedJson out = OrderedJson::object();
  put(out, "total_bytes", memory.total_bytes);
  put(out, "available_bytes", memory.available_bytes);
  put(out, "limit_bytes", memory.limit_bytes);
  put(out, "swap_total_bytes", memory.swap_total_bytes);
  put(out, "swap_free_bytes", memory.swap_free_bytes);
  return out;
}

OrderedJson stalls_json(const StallView& stalls) {
  OrderedJson out = OrderedJson::object();
  put(out, "cpu", stalls.cpu);
  put(out, "memory", stalls.memory);
  put(out, "io", stalls.io);
  return out;
}

OrderedJson gpu_json(const GpuView& gpu) {
  OrderedJson out = {{"name", gpu.name}};
  put(out, "busy", gpu.busy);
  put(out, "memory_used_bytes", gpu.memory_used_bytes);
  put(out, "memory_total_bytes", gpu.memory_total_bytes);
  put(out, "celsius", gpu.celsius);
  put(out, "watts", gpu.watts);
  return out;
}

OrderedJson model_json(const LoadedModelView& model) {
  OrderedJson parts = OrderedJson::object(), stages = OrderedJson::object();
  for (const auto& part : model.parts) parts[part.name] = part.held_bytes;
  for (const StageView& stage : model.stages) {
    OrderedJson one = {{"count", stage.count}, {"mean_ms", stage.mean_ms}};
    put(one, "per_s", stage.per_s);
    stages[stage.name] = std::move(one);
  }
  return {{"name", model.name},           {"uptime_s", model.uptime_s},
          {"cap_bytes", model.cap_bytes}, {"held_bytes", model.held_bytes},
          {"by_part", std::move(parts)},  {"waiting", model.waiting},
          {"running", model.running},     {"done", model.done},
          {"stages", std::move(stages)}};
}

OrderedJson process_json(const ProcessView& process) {
  OrderedJson out = {{"pid", process.pid}, {"name", process.name}};
  put(out, "cpus", process.cpus);
  put(out, "rss_bytes", process.rss_bytes);
  put(out, "swapped_bytes", process.swapped_bytes);
  out["models"] = OrderedJson::array();
  for (const LoadedModelView& model : process.models) out["models"].push_back(model_json(model));
  return out;
}

template <typename List, typename Write>
OrderedJson array_of(const List& list, Write write) {
  OrderedJson out = OrderedJson::array();
  for (const auto& entry : list) out.push_back(write(entry));
  return out;
}

}  // namespace

std::string to_json(const MachineView& view) {
  OrderedJson out = {{"time_s", view.time_s}};
  put(out, "interval_s", view.interval_s);
  out["cores"] = array_of(view.cores, core_json);
  put(out, "busy_cpus", view.busy_cpus);
  put(out, "watched_cpus", view.watched_cpus);
  put(out, "other_cpus", view.other_cpus);
  put(out, "stolen_cpus", view.stolen_cpus);
  out["memory"] = memory_json(view.memory);
  out["stalls"] = stalls_json(view.stalls);
  if (view.hottest) {
    out["hottest"] = {{"name", view.hottest->name}, {"celsius", view.hottest->celsius}};
    put(out["hottest"], "limit_c", view.hottest->limit_c);
  }
  put(out, "watts", view.watts);
  put(out, "battery_percent", view.battery_percent);
  put(out, "on_mains", view.on_mains);
  out["gpus"] = array_of(view.gpus, gpu_json);
  put(out, "read_bytes_per_s", view.read_bytes_per_s);
  put(out, "written_bytes_per_s", view.written_bytes_per_s);
  put(out, "received_bytes_per_s", view.received_bytes_per_s);
  put(out, "sent_bytes_per_s", view.sent_bytes_per_s);
  out["processes"] = array_of(view.processes, process_json);
  return out.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace qvl
