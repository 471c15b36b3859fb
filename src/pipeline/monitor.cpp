// Puts together what a sample tells of the machine, and what processes and their statuses tell of themselves.
#include "qvl/monitor.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/error.h"
#include "memory/memory_limit.h"
#include "pipeline/run_status.h"
#include "profiler/process_load.h"
#include "profiler/steady_clock.h"
#include "profiler/system_reader.h"

namespace qvl {
namespace {

std::optional<double> stall(const std::optional<Pressure>& pressure) {
  if (!pressure || !pressure->some) return std::nullopt;
  return pressure->some->avg10;
}

std::optional<HeatView> hottest(const std::vector<Temperature>& temperatures) {
  const Temperature* most = nullptr;
  const auto distance = [](const Temperature& sensor) {
    return sensor.limit_c.value_or(100) - sensor.celsius;
  };
  for (const Temperature& sensor : temperatures) {
    if (most == nullptr || distance(sensor) < distance(*most)) most = &sensor;
  }
  if (most == nullptr) return std::nullopt;
  return HeatView{.name = most->name, .celsius = most->celsius, .limit_c = most->limit_c};
}

// The sum of what is told; nothing where nothing is.
template <typename List, typename Member>
std::optional<double> sum_of(const List& list, Member member) {
  std::optional<double> sum;
  for (const auto& entry : list) {
    const std::optional<double> value = entry.*member;
    if (value) sum = sum.value_or(0) + *value;
  }
  return sum;
}

std::optional<double> watts(const std::vector<EnergyUse>& energy) {
  std::optional<double> sum;
  for (const EnergyUse& use : energy) {
    if (use.name.starts_with("package")) sum = sum.value_or(0) + use.watts;
  }
  return sum;
}

void put_memory(const Sample& sample, const SystemFiles& files, MachineView& view) {
  view.memory.limit_bytes = memory_limit(files).bytes;
  if (!sample.memory) return;
  view.memory.total_bytes = sample.memory->total_bytes;
  view.memory.available_bytes = sample.memory->available_bytes;
  view.memory.swap_total_bytes = sample.memory->swap_total_bytes;
  view.memory.swap_free_bytes = sample.memory->swap_free_bytes;
}

void put_cores(const Sample& sample, MachineView& view) {
  const auto& cpu = sample.rates.cpu;
  if (!cpu) return;
  view.busy_cpus = cpu->busy_cpus;
  view.stolen_cpus = cpu->stolen_cpus;
  std::map<int, double> mhz;
  for (const CpuFrequency& frequency : sample.frequencies) mhz.emplace(frequency.cpu, frequency.mhz);
  for (const CpuLoad::One& one : cpu->each) {
    const auto found = mhz.find(one.cpu);
    view.cores.push_back({.cpu = one.cpu,
                          .busy = one.busy,
                          .mhz = found == mhz.end() ? std::nullopt : std::optional(found->second)});
  }
}

void put_power(const Sample& sample, MachineView& view) {
  view.hottest = hottest(sample.temperatures);
  view.watts = watts(sample.rates.energy);
  view.on_mains = sample.power.on_mains;
  if (!sample.power.batteries.empty()) view.battery_percent = sample.power.batteries.front().percent;
}

void put_traffic(const Rates& rates, MachineView& view) {
  view.read_bytes_per_s = sum_of(rates.disks, &DiskLoad::read_bytes_per_s);
  view.written_bytes_per_s = sum_of(rates.disks, &DiskLoad::written_bytes_per_s);
  std::vector<NetworkLoad> network = rates.network;
  std::erase_if(network, [](const NetworkLoad& interface) { return interface.name == "lo"; });
  view.received_bytes_per_s = sum_of(network, &NetworkLoad::received_bytes_per_s);
  view.sent_bytes_per_s = sum_of(network, &NetworkLoad::sent_bytes_per_s);
}

GpuView gpu_view(const GpuLoad& load, const GpuFacts& facts) {
  return {.name = facts.name.value_or("unnamed"),
          .busy = load.busy,
          .celsius = load.celsius,
          .watts = load.power_watts,
          .memory_used_bytes = load.memory_used_bytes,
          .memory_total_bytes = facts.memory_bytes};
}

// What was told before of the same checkpoint, for rates. Told is once a second, looked at perhaps more
// often.
struct Told {
  RunStatus latest;
  std::map<std::string, double> per_s = {};
};

void follow(Told& told, const RunStatus& status) {
  const double seconds = status.time_s - told.latest.time_s;
  if (seconds <= 0) return;
  std::map<std::string, uint64_t> before;
  for (const auto& stage : told.latest.stages) before[stage.name] = stage.count;
  told.per_s.clear();
  for (const auto& stage : status.stages) {
    const uint64_t old = before[stage.name];
    if (stage.count >= old) told.per_s[stage.name] = static_cast<double>(stage.count - old) / seconds;
  }
  told.latest = status;
}

LoadedModelView model_view(const Told& told) {
  const RunStatus& status = told.latest;
  LoadedModelView view{.name = status.model,
                       .uptime_s = status.uptime_s,
                       .cap_bytes = status.cap_bytes,
                       .held_bytes = status.held_bytes,
                       .waiting = status.waiting,
                       .running = status.running,
                       .done = status.done};
  for (const auto& part : status.parts)
    view.parts.push_back({.name = part.name, .held_bytes = part.held_bytes});
  for (const auto& stage : status.stages) {
    const auto rate = told.per_s.find(stage.name);
    view.stages.push_back({.name = stage.name,
                           .count = stage.count,
                           .mean_ms = stage.mean_ms,
                           .per_s = rate == told.per_s.end() ? std::nullopt : std::optional(rate->second)});
  }
  return view;
}

// Tells checkpoints apart: a process opens each at another time.
std::pair<uint32_t, int64_t> key_of(const RunStatus& status) {
  return {status.pid, static_cast<int64_t>((status.time_s - status.uptime_s) * 1000)};
}

}  // namespace

struct Monitor::State {
  std::optional<uint32_t> pid;
  SystemFiles files;
  SystemReader reader{files, {}};
  GpuMonitor gpus;
  std::map<uint32_t, ProcessCounters> before;  // by process
  std::map<std::pair<uint32_t, int64_t>, Told> told;

  void put_processes(const Sample& sample, MachineView& view);
  std::vector<RunStatus> statuses();
  void put_process(uint32_t number, const Sample& sample, MachineView& view);
};

// What is running now; what is told of others is forgotten.
std::vector<RunStatus> Monitor::State::statuses() {
  const auto folder = run_status_folder();
  auto found = folder ? read_run_statuses(*folder, files) : std::vector<RunStatus>{};
  std::set<std::pair<uint32_t, int64_t>> keys;
  for (const RunStatus& status : found) {
    keys.insert(key_of(status));
    follow(told.try_emplace(key_of(status), Told{.latest = status}).first->second, status);
  }
  std::erase_if(told, [&](const auto& entry) { return !keys.contains(entry.first); });
  return found;
}

void Monitor::State::put_process(uint32_t number, const Sample& sample, MachineView& view) {
  auto now = read_process_counters(files, number);
  if (!now) return;
  ProcessView process{
      .pid = number, .name = now->name, .rss_bytes = now->rss_bytes, .swapped_bytes = now->swapped_bytes};
  const auto old = before.find(number);
  if (old != before.end() && sample.rates.cpu) {
    if (const auto load = process_load(old->second, *now, *sample.rates.cpu)) {
      process.cpus = load->cpus;
      view.watched_cpus = view.watched_cpus.value_or(0) + load->cpus;
      for (const CpuLoad::One& one : load->each) {
        const auto core = std::find_if(view.cores.begin(), view.cores.end(),
                                       [&](const CoreView& candidate) { return candidate.cpu == one.cpu; });
        if (core != view.cores.end()) core->watched = std::min(core->watched + one.busy, core->busy);
      }
    }
  }
  for (const auto& [key, status] : told) {
    if (key.first == number) process.models.push_back(model_view(status));
  }
  before.insert_or_assign(number, std::move(*now));
  view.processes.push_back(std::move(process));
}

void Monitor::State::put_processes(const Sample& sample, MachineView& view) {
  std::set<uint32_t> numbers;
  for (const RunStatus& status : statuses()) numbers.insert(status.pid);
  if (pid) {
    put_process(*pid, sample, view);
    numbers.erase(*pid);
  }
  for (uint32_t number : numbers) put_process(number, sample, view);
  std::erase_if(before,
                [&](const auto& entry) { return entry.first != pid && !numbers.contains(entry.first); });
  if (!view.busy_cpus || !view.watched_cpus) return;
  // The files are read one after the other; the machine's count is the whole.
  view.watched_cpus = std::min(*view.watched_cpus, *view.busy_cpus);
  view.other_cpus = *view.busy_cpus - *view.watched_cpus;
}

Monitor::Monitor(const MonitorOptions& options) : state_(std::make_unique<State>()) {
  state_->pid = options.pid;
  if (options.pid && !read_process_counters(state_->files, *options.pid)) {
    fail(ErrorCode::usage, "pid: found {}, expected the number of a running process", *options.pid);
  }
}
Monitor::~Monitor() = default;

MachineView Monitor::look() {
  const Sample sample = state_->reader.read(steady_ns());
  MachineView view{.time_s = static_cast<double>(sample.time_ns) * 1e-9,
                   .interval_s = sample.rates.interval_s};
  put_cores(sample, view);
  put_memory(sample, state_->files, view);
  view.stalls = {.cpu = stall(sample.machine_pressure.cpu),
                 .memory = stall(sample.machine_pressure.memory),
                 .io = stall(sample.machine_pressure.io)};
  put_power(sample, view);
  put_traffic(sample.rates, view);
  for (const GpuLoad& load : sample.gpus) {
    const auto index = static_cast<size_t>(load.gpu);
    const auto& facts = state_->gpus.gpus();
    view.gpus.push_back(gpu_view(load, index < facts.size() ? facts[index] : GpuFacts{}));
  }
  state_->put_processes(sample, view);
  return view;
}

}  // namespace qvl
