// A library that is not NVML.
extern "C" int unrelated() { return 1; }
