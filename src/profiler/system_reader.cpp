#include "profiler/system_reader.h"

#include <utility>

namespace qvl {
namespace {

constexpr int64_t kShortestIntervalNs = 50'000'000;
constexpr int kSamplesPerPss = 10;

}  // namespace

SystemReader::SystemReader(SystemFiles files, SampleScope scope, const std::filesystem::path& gpu_library)
    : files_(std::move(files)), scope_(scope), gpu_library_(gpu_library) {}

Sample SystemReader::read(int64_t time_ns) {
  Sample sample{.time_ns = time_ns};
  update_rates(time_ns);
  sample.rates = rates_;
  sample.machine_pressure = read_machine_pressure(files_);
  sample.own_pressure = read_own_pressure(files_);
  sample.power = read_power_supply(files_);
  if (scope_.memory) {
    read_memory(sample);
  } else {
    sample.machine_pressure.memory.reset();
    sample.own_pressure.memory.reset();
  }
  if (scope_.compute) read_compute(sample);
  return sample;
}

SystemReader::Counters SystemReader::read_counters(int64_t time_ns) const {
  Counters out{.time_ns = time_ns, .cpu = {}, .disks = {}, .network = {}, .energy = {}};
  if (scope_.compute) {
    out.cpu = read_cpu_counters(files_);
    out.energy = read_energy_counters(files_);
  }
  out.disks = read_disk_counters(files_);
  out.network = read_network_counters(files_);
  return out;
}

void SystemReader::update_rates(int64_t time_ns) {
  if (before_ && time_ns >= before_->time_ns && time_ns - before_->time_ns < kShortestIntervalNs) return;
  Counters now = read_counters(time_ns);
  rates_ = {};
  if (before_ && time_ns > before_->time_ns) {
    const double seconds = static_cast<double>(time_ns - before_->time_ns) * 1e-9;
    rates_.interval_s = seconds;
    if (before_->cpu && now.cpu) rates_.cpu = cpu_load(*before_->cpu, *now.cpu);
    rates_.disks = disk_loads(before_->disks, now.disks, seconds);
    rates_.network = network_loads(before_->network, now.network, seconds);
    rates_.energy = energy_use(before_->energy, now.energy, seconds);
  }
  before_ = std::move(now);
}

void SystemReader::read_memory(Sample& sample) {
  sample.memory = read_memory_use(files_);
  if (samples_until_pss_ == 0) {
    sample.memory->pss_bytes = read_pss_bytes(files_);
    samples_until_pss_ = kSamplesPerPss;
  }
  --samples_until_pss_;
}

void SystemReader::read_compute(Sample& sample) {
  sample.frequencies = read_frequencies(files_);
  sample.temperatures = read_temperatures(files_);
  if (!gpus_) gpus_.emplace(gpu_library_);
  sample.gpus = gpus_->read();
}

}  // namespace qvl
