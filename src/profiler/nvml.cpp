#include "profiler/nvml.h"

#include <type_traits>

namespace qvl::nvml {

Functions::Functions(const SharedLibrary& library) {
  const auto find = [&](auto*& function, const char* symbol) {
    function = library.function<std::remove_pointer_t<std::remove_reference_t<decltype(function)>>>(symbol);
  };
  find(init, "nvmlInit_v2");
  find(shutdown, "nvmlShutdown");
  find(device_count, "nvmlDeviceGetCount_v2");
  find(device, "nvmlDeviceGetHandleByIndex_v2");
  find(name, "nvmlDeviceGetName");
  find(compute_capability, "nvmlDeviceGetCudaComputeCapability");
  find(memory, "nvmlDeviceGetMemoryInfo");
  find(memory_v2, "nvmlDeviceGetMemoryInfo_v2");
  find(utilization, "nvmlDeviceGetUtilizationRates");
  find(temperature, "nvmlDeviceGetTemperature");
  find(power, "nvmlDeviceGetPowerUsage");
  find(compute_processes, "nvmlDeviceGetComputeRunningProcesses_v3");
  if (compute_processes == nullptr) find(compute_processes, "nvmlDeviceGetComputeRunningProcesses_v2");
}

}  // namespace qvl::nvml
