// Takes samples of this machine: reads all sources and compares counters with those of the reading before.
#pragma once

#include <filesystem>
#include <optional>

#include "base/system_files.h"
#include "profiler/gpu_monitor.h"
#include "profiler/sample.h"

namespace qvl {

/// Where samples come from; a test may have its own. Thread-compatible.
class SampleSource {
 public:
  virtual ~SampleSource() = default;
  /// `time_ns` of the steady clock. May throw what allocating throws.
  virtual Sample read(int64_t time_ns) = 0;
};

/// What a sample holds. Disks, network, the pressure on processors and disks, and the power supply are always
/// in it: they cost microseconds.
struct SampleScope {
  bool memory = true;   ///< memory use and the pressure on memory
  bool compute = true;  ///< load of processors, frequencies, temperatures, energy, GPUs
};

class SystemReader final : public SampleSource {
 public:
  /// The GPUs' driver is opened with the first sample: that may take a second.
  SystemReader(SystemFiles files, SampleScope scope,
               const std::filesystem::path& gpu_library = "libnvidia-ml.so.1");

  /// Rates are over the time since the last reading that is at least 50 ms old: the kernel counts in ticks of
  /// 10 ms. A sample taken sooner repeats the rates of the one before. The proportional set size, which costs
  /// most, is in every tenth sample.
  Sample read(int64_t time_ns) override;

 private:
  struct Counters {
    int64_t time_ns;
    std::optional<CpuCounters> cpu{};
    std::vector<DiskCounters> disks{};
    std::vector<NetworkCounters> network{};
    std::vector<EnergyCounters> energy{};
  };
  Counters read_counters(int64_t time_ns) const;
  void update_rates(int64_t time_ns);
  void read_memory(Sample& sample);
  void read_compute(Sample& sample);

  SystemFiles files_;
  SampleScope scope_;
  std::filesystem::path gpu_library_;
  std::optional<GpuMonitor> gpus_;
  std::optional<Counters> before_;
  Rates rates_;
  int samples_until_pss_ = 0;
};

}  // namespace qvl
