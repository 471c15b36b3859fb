// NVML's interface as its reference manual gives it, written apart from src/profiler/nvml.h, so that a wrong
// layout there shows.
#pragma once

extern "C" {

enum { kSuccess = 0, kInvalidArgument = 2, kNotSupported = 3, kInsufficientSize = 7, kGpuIsLost = 15 };

struct nvmlMemory {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};

struct nvmlMemory_v2 {
  unsigned int version;
  unsigned long long total;
  unsigned long long reserved;
  unsigned long long free;
  unsigned long long used;
};

struct nvmlUtilization {
  unsigned int gpu;
  unsigned int memory;
};

struct nvmlProcessInfo {
  unsigned int pid;
  unsigned long long usedGpuMemory;
  unsigned int gpuInstanceId;
  unsigned int computeInstanceId;
};

struct nvmlProcessInfoWithProtected {  // what drivers 535.43 to 535.86 wrote
  nvmlProcessInfo info;
  unsigned long long usedGpuCcProtectedMemory;
};

int nvmlInit_v2();
int nvmlShutdown();
int nvmlDeviceGetCount_v2(unsigned int* count);
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void** device);
int nvmlDeviceGetName(void* device, char* name, unsigned int length);
int nvmlDeviceGetCudaComputeCapability(void* device, int* major, int* minor);
int nvmlDeviceGetMemoryInfo(void* device, nvmlMemory* memory);
int nvmlDeviceGetMemoryInfo_v2(void* device, nvmlMemory_v2* memory);
int nvmlDeviceGetUtilizationRates(void* device, nvmlUtilization* utilization);
int nvmlDeviceGetTemperature(void* device, unsigned int sensor, unsigned int* celsius);
int nvmlDeviceGetPowerUsage(void* device, unsigned int* milliwatts);
int nvmlDeviceGetComputeRunningProcesses_v2(void* device, unsigned int* count, void* infos);
int nvmlDeviceGetComputeRunningProcesses_v3(void* device, unsigned int* count, void* infos);

/// Not NVML's: how many times init was called more often than shutdown.
int fake_users();
}
