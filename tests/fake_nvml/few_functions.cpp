// An old driver: a GPU, of which it tells nothing but the processes, in the second form.
#include "nvml_abi.h"

extern "C" {

int nvmlInit_v2() { return kSuccess; }
int nvmlDeviceGetCount_v2(unsigned int* count) {
  *count = 1;
  return kSuccess;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned int, void** device) {
  static int gpu = 0;
  *device = &gpu;
  return kSuccess;
}
int nvmlDeviceGetComputeRunningProcesses_v2(void*, unsigned int* count, void* infos) {
  *count = 1;
  static_cast<nvmlProcessInfo*>(infos)[0] = {99, 7 << 20, 0, 0};
  return kSuccess;
}
}
