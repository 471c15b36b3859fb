// A driver whose GPU was lost: it is there, and every question about it fails.
#include "nvml_abi.h"

extern "C" {

int nvmlInit_v2() { return kSuccess; }
int nvmlShutdown() { return kSuccess; }
int nvmlDeviceGetCount_v2(unsigned int* count) {
  *count = 1;
  return kSuccess;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned int, void** device) {
  static int gpu = 0;
  *device = &gpu;
  return kSuccess;
}
int nvmlDeviceGetName(void*, char*, unsigned int) { return kGpuIsLost; }
int nvmlDeviceGetCudaComputeCapability(void*, int*, int*) { return kGpuIsLost; }
int nvmlDeviceGetMemoryInfo(void*, nvmlMemory*) { return kGpuIsLost; }
int nvmlDeviceGetUtilizationRates(void*, nvmlUtilization*) { return kGpuIsLost; }
int nvmlDeviceGetTemperature(void*, unsigned int, unsigned int*) { return kGpuIsLost; }
int nvmlDeviceGetPowerUsage(void*, unsigned int*) { return kGpuIsLost; }
int nvmlDeviceGetComputeRunningProcesses_v3(void*, unsigned int*, void*) { return kGpuIsLost; }
}
