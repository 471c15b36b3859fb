// A driver that calls everything a success and writes nonsense, for five GPUs: each lies in another way.
#include <cstring>

#include "nvml_abi.h"

namespace {

int gpus[5] = {0, 1, 2, 3, 4};
int index_of(void* device) { return *static_cast<int*>(device); }

}  // namespace

extern "C" {

int nvmlInit_v2() { return kSuccess; }
int nvmlShutdown() { return kSuccess; }
int nvmlDeviceGetCount_v2(unsigned int* count) {
  *count = 6;
  return kSuccess;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void** device) {
  *device = index < 5 ? &gpus[index] : nullptr;  // the sixth has no handle
  return kSuccess;
}
int nvmlDeviceGetName(void* device, char* name, unsigned int length) {
  switch (index_of(device)) {
    case 0:
      std::memset(name, 'x', length);
      break;  // does not end
    case 1:
      name[0] = '\0';
      break;  // empty
    case 2:
      std::memcpy(name, "GPU\n\xFF\x1b[31m", 11);
      break;  // no text
    default:
      std::memcpy(name, "G", 2);
      break;
  }
  return kSuccess;
}
int nvmlDeviceGetCudaComputeCapability(void* device, int* major, int* minor) {
  *major = index_of(device) == 0 ? -1 : 6;
  *minor = index_of(device) == 1 ? 2'000'000'000 : 1;
  return kSuccess;
}
int nvmlDeviceGetMemoryInfo(void* device, nvmlMemory* memory) {
  switch (index_of(device)) {
    case 0:
      *memory = {1 << 20, 0, 1 << 21};
      break;  // more used than there is
    case 1:
      *memory = {0, 0, 0};
      break;
    case 2:
      *memory = {~0ULL, ~0ULL, 0};
      break;
    default:
      *memory = {1 << 20, 1 << 21, 0};
      break;  // more free than there is
  }
  return kSuccess;
}
int nvmlDeviceGetUtilizationRates(void*, nvmlUtilization* utilization) {
  *utilization = {101, ~0U};
  return kSuccess;
}
int nvmlDeviceGetTemperature(void*, unsigned int, unsigned int* celsius) {
  *celsius = ~0U;
  return kSuccess;
}
int nvmlDeviceGetPowerUsage(void*, unsigned int* milliwatts) {
  *milliwatts = ~0U;
  return kSuccess;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void* device, unsigned int* count, void* infos) {
  switch (index_of(device)) {
    case 0:  // more than there was room for, none of it written
      *count = 1U << 31;
      break;
    case 1:  // entries of 32 bytes
      *count = 2;
      static_cast<nvmlProcessInfoWithProtected*>(infos)[0] = {{11, 1 << 20, 0, 0}, 0};
      static_cast<nvmlProcessInfoWithProtected*>(infos)[1] = {{12, 2 << 20, 0, 0}, 0};
      break;
    case 2: {  // entries of 16 bytes
      const unsigned long long entries[] = {21, 1 << 20, 22, 2 << 20, 23, 3 << 20};
      *count = 3;
      std::memcpy(infos, entries, sizeof entries);
      break;
    }
    case 3:
      *count = 2;
      break;  // two entries, and nothing written
    default:  // two entries, half of one written
      *count = 2;
      std::memset(infos, 0, 20);
      break;
  }
  return kSuccess;
}
}
