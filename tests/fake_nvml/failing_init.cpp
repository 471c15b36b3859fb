// A driver library without its kernel module: NVML_ERROR_DRIVER_NOT_LOADED.
#include "nvml_abi.h"

extern "C" {
int nvmlInit_v2() { return 9; }
int nvmlDeviceGetCount_v2(unsigned int*) { return kSuccess; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int, void**) { return kSuccess; }
}
