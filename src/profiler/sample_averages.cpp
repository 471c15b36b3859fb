#include "profiler/sample_averages.h"

#include <utility>

namespace qvl {
namespace {

class Mean {
 public:
  template <typename Value>
  void add(const std::optional<Value>& value) {
    if (!value) return;
    sum_ += static_cast<double>(*value);
    ++count_;
  }
  std::optional<double> value() const {
    return count_ == 0 ? std::nullopt : std::optional(sum_ / static_cast<double>(count_));
  }

 private:
  double sum_ = 0;
  size_t count_ = 0;
};

std::optional<uint64_t> used_on_gpus(const Sample& sample) {
  std::optional<uint64_t> bytes;
  for (const GpuLoad& gpu : sample.gpus) {
    if (gpu.memory_used_bytes) bytes = bytes.value_or(0) + *gpu.memory_used_bytes;
  }
  return bytes;
}

// A process that is on no list has nothing there.
std::optional<uint64_t> own_on_gpus(const Sample& sample, uint32_t own_pid) {
  if (sample.gpus.empty()) return std::nullopt;
  uint64_t bytes = 0;
  for (const GpuLoad& gpu : sample.gpus) {
    for (const GpuProcess& process : gpu.processes) {
      if (process.pid == own_pid) bytes += process.memory_bytes.value_or(0);
    }
  }
  return bytes;
}

}  // namespace

SampleAverages averages_of(std::span<const std::shared_ptr<const Sample>> history, uint32_t own_pid) {
  SampleAverages out{.samples = history.size()};
  if (history.empty()) return out;
  out.span_s = static_cast<double>(history.back()->time_ns - history.front()->time_ns) * 1e-9;
  Mean busy, own, foreign, rss, available, gpu_used, gpu_own;
  for (const auto& sample : history) {
    if (const auto& cpu = sample->rates.cpu) {
      busy.add(std::optional(cpu->busy_cpus));
      own.add(cpu->own_cpus);
      foreign.add(cpu->foreign_cpus);
    }
    if (const auto& memory = sample->memory) {
      rss.add(memory->rss_bytes);
      available.add(memory->available_bytes);
    }
    gpu_used.add(used_on_gpus(*sample));
    gpu_own.add(own_on_gpus(*sample, own_pid));
  }
  out.busy_cpus = busy.value();
  out.own_cpus = own.value();
  out.foreign_cpus = foreign.value();
  out.rss_bytes = rss.value();
  out.available_bytes = available.value();
  out.gpu_memory_used_bytes = gpu_used.value();
  out.gpu_memory_own_bytes = gpu_own.value();
  return out;
}

OrderedJson to_json(const SampleAverages& averages) {
  OrderedJson out = {{"samples", averages.samples}, {"span_s", averages.span_s}};
  for (const auto& [key, value] :
       {std::pair("busy_cpus", averages.busy_cpus), std::pair("own_cpus", averages.own_cpus),
        std::pair("foreign_cpus", averages.foreign_cpus), std::pair("rss_bytes", averages.rss_bytes),
        std::pair("available_bytes", averages.available_bytes),
        std::pair("gpu_memory_used_bytes", averages.gpu_memory_used_bytes),
        std::pair("gpu_memory_own_bytes", averages.gpu_memory_own_bytes)}) {
    if (value) out[key] = *value;
  }
  return out;
}

}  // namespace qvl
