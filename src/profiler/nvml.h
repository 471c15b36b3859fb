// The part of NVML's binary interface that is used here: functions and structures of its reference manual.
#pragma once

#include <cstdint>

#include "profiler/shared_library.h"

namespace qvl::nvml {

using Result = int;  // 0 is success
using Device = void*;

constexpr Result kSuccess = 0;
constexpr unsigned kTemperatureGpu = 0;  // the only sensor every device has
constexpr unsigned kNameBytes = 96;
constexpr uint64_t kNotAvailable = UINT64_MAX;  // in place of a number of bytes

struct Memory {
  unsigned long long total, free, used;
};

/// Tells what the driver keeps for itself apart from what is used, as nvidia-smi does; Memory counts it as
/// used.
struct MemoryV2 {
  static constexpr unsigned kVersion = 2U << 24 | 40U;  // and the size of the structure

  unsigned version;
  unsigned long long total, reserved, free, used;
};
static_assert(sizeof(MemoryV2) == 40);

struct Utilization {
  unsigned gpu, memory;  // per cent
};

/// Null where the library lacks a function.
struct Functions {
  explicit Functions(const SharedLibrary& library);

  Result (*init)();
  Result (*shutdown)();
  Result (*device_count)(unsigned* count);
  Result (*device)(unsigned index, Device* device);
  Result (*name)(Device device, char* name, unsigned bytes);
  Result (*compute_capability)(Device device, int* major, int* minor);
  Result (*memory)(Device device, Memory* memory);
  Result (*memory_v2)(Device device, MemoryV2* memory);  // null before driver 510
  Result (*utilization)(Device device, Utilization* utilization);
  Result (*temperature)(Device device, unsigned sensor, unsigned* celsius);
  Result (*power)(Device device, unsigned* milliwatts);
  /// `count` is the room on entry and the number of entries on return. The size of an entry depends on the
  /// driver, see gpu_processes.h.
  Result (*compute_processes)(Device device, unsigned* count, void* entries);
};

}  // namespace qvl::nvml
