#include "profiler/gpu_processes.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace qvl {
namespace {

constexpr size_t kMostProcesses = 64;
constexpr size_t kLargestEntry = 32;
// What the driver did not write. Neither zero nor all ones, which entries end with.
constexpr unsigned char kUnwritten = 0xA5;

using Buffer = std::array<unsigned char, kMostProcesses * kLargestEntry>;

// The bytes of an entry, or 0 where the driver wrote something else.
size_t entry_bytes(const Buffer& buffer, size_t count) {
  size_t written = buffer.size();
  while (written > 0 && buffer[written - 1] == kUnwritten) --written;
  for (const size_t bytes : {16U, 24U, 32U}) {
    if (bytes * count == written) return bytes;
  }
  return 0;
}

}  // namespace

std::vector<GpuProcess> read_gpu_processes(const nvml::Functions& nvml, nvml::Device device) {
  if (nvml.compute_processes == nullptr) return {};
  Buffer buffer;
  buffer.fill(kUnwritten);
  unsigned count = kMostProcesses;
  if (nvml.compute_processes(device, &count, buffer.data()) != nvml::kSuccess) return {};
  if (count == 0 || count > kMostProcesses) return {};
  const size_t bytes = entry_bytes(buffer, count);
  if (bytes == 0) return {};
  std::vector<GpuProcess> out;
  for (size_t i = 0; i < count; ++i) {
    GpuProcess process{};
    uint64_t memory = 0;
    std::memcpy(&process.pid, buffer.data() + i * bytes, sizeof process.pid);
    std::memcpy(&memory, buffer.data() + i * bytes + 8, sizeof memory);
    if (memory != nvml::kNotAvailable) process.memory_bytes = memory;
    out.push_back(process);
  }
  return out;
}

}  // namespace qvl
