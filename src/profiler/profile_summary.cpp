#include "profiler/profile_summary.h"

#include <algorithm>
#include <string>

namespace qvl {
namespace {

// Takes values that some samples lack.
class Figures {
 public:
  void add(std::optional<double> value) {
    if (!value) return;
    sum_ += *value;
    most_ = count_ == 0 ? *value : std::max(most_, *value);
    ++count_;
  }
  std::optional<Extent> extent() const {
    if (count_ == 0) return std::nullopt;
    return Extent{.mean = sum_ / static_cast<double>(count_), .most = most_};
  }

 private:
  double sum_ = 0, most_ = 0;
  size_t count_ = 0;
};

std::optional<double> percent_of(std::optional<double> part, double whole) {
  if (!part || !(whole > 0)) return std::nullopt;
  return 100 * *part / whole;
}

std::optional<double> number(std::optional<uint64_t> value) {
  return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
}

// A process that is on no list has nothing there.
std::optional<double> own_on_gpus(const std::vector<GpuLoad>& gpus, uint32_t own_pid) {
  if (gpus.empty()) return std::nullopt;
  uint64_t bytes = 0;
  for (const GpuLoad& gpu : gpus) {
    for (const GpuProcess& process : gpu.processes) {
      if (process.pid == own_pid) bytes += process.memory_bytes.value_or(0);
    }
  }
  return static_cast<double>(bytes);
}

struct Collected {
  uint32_t own_pid;
  Figures cpu{}, own{}, foreign{}, memory{}, rss{}, gpu{}, gpu_memory{}, own_gpu_memory{};

  void add(const CpuLoad& load) {
    cpu.add(percent_of(load.busy_cpus, load.cpus));
    own.add(percent_of(load.own_cpus, load.cpus));
    foreign.add(percent_of(load.foreign_cpus, load.cpus));
  }
  void add(const MemoryUse& use) {
    rss.add(number(use.rss_bytes));
    if (!use.total_bytes || !use.available_bytes) return;
    const auto total = static_cast<double>(*use.total_bytes);
    memory.add(percent_of(total - static_cast<double>(*use.available_bytes), total));
  }
  void add(const std::vector<GpuLoad>& gpus) {
    std::optional<double> busiest;
    std::optional<uint64_t> used;
    for (const GpuLoad& one : gpus) {
      if (one.busy) busiest = std::max(busiest.value_or(0), *one.busy);
      if (one.memory_used_bytes) used = used.value_or(0) + *one.memory_used_bytes;
    }
    gpu.add(percent_of(busiest, 1));
    gpu_memory.add(number(used));
    own_gpu_memory.add(own_on_gpus(gpus, own_pid));
  }
};

void put(OrderedJson& out, const std::string& name, const std::optional<Extent>& extent, double unit) {
  out["avg_" + name] = extent ? OrderedJson(extent->mean / unit) : OrderedJson();
  out["max_" + name] = extent ? OrderedJson(extent->most / unit) : OrderedJson();
}

}  // namespace

ProfileSummary summarise(std::span<const SystemProfiler::SamplePtr> history, uint32_t own_pid) {
  Collected all{.own_pid = own_pid};
  for (const auto& sample : history) {
    if (sample->rates.cpu) all.add(*sample->rates.cpu);
    if (sample->memory) all.add(*sample->memory);
    all.add(sample->gpus);
  }
  const int64_t span_ns = history.empty() ? 0 : history.back()->time_ns - history.front()->time_ns;
  return {.samples = history.size(),
          .seconds = static_cast<double>(span_ns) * 1e-9,
          .cpu_percent = all.cpu.extent(),
          .own_cpu_percent = all.own.extent(),
          .foreign_cpu_percent = all.foreign.extent(),
          .memory_percent = all.memory.extent(),
          .rss_bytes = all.rss.extent(),
          .gpu_percent = all.gpu.extent(),
          .gpu_memory_bytes = all.gpu_memory.extent(),
          .own_gpu_memory_bytes = all.own_gpu_memory.extent()};
}

OrderedJson to_json(const ProfileSummary& summary) {
  constexpr double kMebibyte = 1 << 20;
  OrderedJson out = {{"samples", summary.samples}, {"seconds", summary.seconds}};
  put(out, "cpu_percent", summary.cpu_percent, 1);
  put(out, "own_cpu_percent", summary.own_cpu_percent, 1);
  put(out, "foreign_cpu_percent", summary.foreign_cpu_percent, 1);
  put(out, "memory_percent", summary.memory_percent, 1);
  put(out, "rss_memory_mb", summary.rss_bytes, kMebibyte);
  put(out, "gpu_percent", summary.gpu_percent, 1);
  put(out, "gpu_memory_allocated_mb", summary.gpu_memory_bytes, kMebibyte);
  put(out, "own_gpu_memory_mb", summary.own_gpu_memory_bytes, kMebibyte);
  return out;
}

}  // namespace qvl
