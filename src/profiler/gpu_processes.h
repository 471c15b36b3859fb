// The list of processes NVML writes, whose entries have three sizes.
#pragma once

#include <vector>

#include "profiler/gpu_monitor.h"
#include "profiler/nvml.h"

namespace qvl {

/// The processes that compute on `device`, at most 64; none where the driver does not tell.
///
/// Entries begin with the process number and the bytes in use, and are 16, 24 or 32 bytes long: drivers have
/// changed the size under one function name (535.43 to 535.86 wrote 32 bytes, others 16 or 24). So there is
/// room for the largest, and the size is taken from how far the driver wrote.
std::vector<GpuProcess> read_gpu_processes(const nvml::Functions& nvml, nvml::Device device);

}  // namespace qvl
