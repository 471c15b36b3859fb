// NVIDIA GPUs as the driver's management library (NVML) shows them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qvl {

/// What does not change. A field that the driver does not tell, or tells nonsense for, is empty.
struct GpuFacts {
  struct ComputeCapability {
    int major;
    int minor;
  };
  std::optional<std::string> name{};
  std::optional<ComputeCapability> compute_capability{};
  std::optional<uint64_t> memory_bytes{};
};

struct GpuProcess {
  uint32_t pid;
  std::optional<uint64_t> memory_bytes{};
};

/// One reading; fields as above.
struct GpuLoad {
  int gpu = 0;                          ///< its place in GpuMonitor::gpus()
  std::optional<double> busy{};         ///< share of the driver's last interval with a kernel running, 0 to 1
  std::optional<double> memory_busy{};  ///< the same for reads and writes of its memory
  std::optional<uint64_t> memory_used_bytes{};
  std::optional<uint64_t> memory_free_bytes{};
  std::optional<double> celsius{};
  std::optional<double> power_watts{};
  std::vector<GpuProcess> processes{};  ///< those that compute, at most 64
};

/// The GPUs of this machine; none where there is no driver, and then `problem` tells why. The driver is not
/// trusted: each function may be missing, each call may fail, each number is checked. Thread-compatible.
class GpuMonitor {
 public:
  explicit GpuMonitor(const std::filesystem::path& library = "libnvidia-ml.so.1");
  ~GpuMonitor();
  GpuMonitor(const GpuMonitor&) = delete;
  GpuMonitor& operator=(const GpuMonitor&) = delete;

  const std::vector<GpuFacts>& gpus() const { return facts_; }
  const std::optional<std::string>& problem() const { return problem_; }

  /// One load for each of gpus(). Takes milliseconds where the driver must ask the device.
  std::vector<GpuLoad> read();

 private:
  struct Driver;
  void open(const std::filesystem::path& library);

  std::unique_ptr<Driver> driver_;
  std::vector<GpuFacts> facts_;
  std::optional<std::string> problem_;
};

}  // namespace qvl
