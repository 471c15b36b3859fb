// A driver that claims 2^31 GPUs.
#include "nvml_abi.h"

extern "C" {
int nvmlInit_v2() { return kSuccess; }
int nvmlDeviceGetCount_v2(unsigned int* count) {
  *count = 1U << 31;
  return kSuccess;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned int, void** device) {
  static int gpu = 0;
  *device = &gpu;
  return kSuccess;
}
}
