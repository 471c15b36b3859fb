// A driver with two GPUs: a small laptop's, and one that cannot tell its load and power.
#include <cstring>

#include "nvml_abi.h"

namespace {

struct Gpu {
  const char* name;
  int major, minor;
  unsigned long long memory;
};
Gpu gpus[] = {{"NVIDIA GeForce MX250", 6, 1, 2ULL << 30}, {"NVIDIA H100 80GB HBM3", 9, 0, 80ULL << 30}};
int users = 0;

bool small(void* device) { return device == &gpus[0]; }

}  // namespace

extern "C" {

int nvmlInit_v2() {
  ++users;
  return kSuccess;
}
int nvmlShutdown() {
  --users;
  return kSuccess;
}
int fake_users() { return users; }

int nvmlDeviceGetCount_v2(unsigned int* count) {
  *count = 2;
  return kSuccess;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void** device) {
  if (index > 1) return kInvalidArgument;
  *device = &gpus[index];
  return kSuccess;
}
int nvmlDeviceGetName(void* device, char* name, unsigned int length) {
  const char* text = static_cast<Gpu*>(device)->name;
  if (std::strlen(text) >= length) return kInsufficientSize;
  std::memcpy(name, text, std::strlen(text) + 1);
  return kSuccess;
}
int nvmlDeviceGetCudaComputeCapability(void* device, int* major, int* minor) {
  *major = static_cast<Gpu*>(device)->major;
  *minor = static_cast<Gpu*>(device)->minor;
  return kSuccess;
}
int nvmlDeviceGetMemoryInfo(void* device, nvmlMemory* memory) {
  memory->total = static_cast<Gpu*>(device)->memory;
  memory->used = 300ULL << 20;
  memory->free = memory->total - memory->used;
  return kSuccess;
}
// The small one does without. Of the 300 MiB of the large one 50 are the driver's own.
int nvmlDeviceGetMemoryInfo_v2(void* device, nvmlMemory_v2* memory) {
  if (small(device)) return kNotSupported;
  if (memory->version != (sizeof(nvmlMemory_v2) | 2U << 24)) return kInvalidArgument;
  memory->total = static_cast<Gpu*>(device)->memory;
  memory->reserved = 50ULL << 20;
  memory->used = 250ULL << 20;
  memory->free = memory->total - memory->reserved - memory->used;
  return kSuccess;
}
int nvmlDeviceGetUtilizationRates(void* device, nvmlUtilization* utilization) {
  if (!small(device)) return kNotSupported;
  *utilization = {37, 12};
  return kSuccess;
}
int nvmlDeviceGetTemperature(void* device, unsigned int sensor, unsigned int* celsius) {
  if (sensor != 0) return kInvalidArgument;
  *celsius = small(device) ? 61 : 35;
  return kSuccess;
}
int nvmlDeviceGetPowerUsage(void* device, unsigned int* milliwatts) {
  if (!small(device)) return kNotSupported;
  *milliwatts = 9'750;
  return kSuccess;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void* device, unsigned int* count, void* infos) {
  if (!small(device)) {
    *count = 0;
    return kSuccess;
  }
  if (*count < 2) return kInsufficientSize;
  *count = 2;
  auto* out = static_cast<nvmlProcessInfo*>(infos);
  out[0] = {4711, 100ULL << 20, 0xFFFFFFFF, 0xFFFFFFFF};
  out[1] = {4712, ~0ULL, 0xFFFFFFFF, 0xFFFFFFFF};  // the driver does not know
  return kSuccess;
}
}
