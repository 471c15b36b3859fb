#include "profiler/gpu_monitor.h"

#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "profiler/gpu_processes.h"
#include "profiler/nvml.h"
#include "profiler/shared_library.h"

namespace qvl {
namespace {

constexpr unsigned kMostGpus = 64;
constexpr uint64_t kMostMemoryBytes = 1ULL << 48;

// The value a call writes, or nothing where the function is missing or the call fails.
template <typename Value, typename Function, typename... Arguments>
std::optional<Value> ask(Function* function, Arguments... arguments) {
  Value value{};
  if (function == nullptr || function(arguments..., &value) != nvml::kSuccess) return std::nullopt;
  return value;
}

std::optional<std::string> read_name(const nvml::Functions& nvml, nvml::Device device) {
  char name[nvml::kNameBytes + 1] = {};  // ends even where the driver's text does not
  if (nvml.name == nullptr || nvml.name(device, name, nvml::kNameBytes) != nvml::kSuccess)
    return std::nullopt;
  const size_t bytes = ::strnlen(name, nvml::kNameBytes);
  return bytes > 0 ? std::optional(printable({name, bytes})) : std::nullopt;
}

std::optional<GpuFacts::ComputeCapability> read_capability(const nvml::Functions& nvml, nvml::Device device) {
  GpuFacts::ComputeCapability out{};
  if (nvml.compute_capability == nullptr) return std::nullopt;
  if (nvml.compute_capability(device, &out.major, &out.minor) != nvml::kSuccess) return std::nullopt;
  if (out.major < 1 || out.major > 99 || out.minor < 0 || out.minor > 99) return std::nullopt;
  return out;
}

// As nvidia-smi counts it where the driver can.
std::optional<nvml::Memory> ask_memory(const nvml::Functions& nvml, nvml::Device device) {
  nvml::MemoryV2 memory{.version = nvml::MemoryV2::kVersion, .total = 0, .reserved = 0, .free = 0, .used = 0};
  if (nvml.memory_v2 != nullptr && nvml.memory_v2(device, &memory) == nvml::kSuccess) {
    return nvml::Memory{.total = memory.total, .free = memory.free, .used = memory.used};
  }
  return ask<nvml::Memory>(nvml.memory, device);
}

std::optional<nvml::Memory> read_memory(const nvml::Functions& nvml, nvml::Device device) {
  const auto memory = ask_memory(nvml, device);
  if (!memory || memory->total == 0 || memory->total > kMostMemoryBytes) return std::nullopt;
  return memory->used <= memory->total && memory->free <= memory->total ? memory : std::nullopt;
}

// Per cent as a share.
std::optional<double> share(unsigned percent) {
  return percent <= 100 ? std::optional(percent / 100.0) : std::nullopt;
}

template <typename Number>
std::optional<double> at_most(std::optional<Number> number, double scale, double most) {
  if (!number || *number * scale > most) return std::nullopt;
  return *number * scale;
}

GpuLoad read_load(const nvml::Functions& nvml, nvml::Device device, int gpu) {
  GpuLoad load{.gpu = gpu};
  if (const auto busy = ask<nvml::Utilization>(nvml.utilization, device)) {
    load.busy = share(busy->gpu);
    load.memory_busy = share(busy->memory);
  }
  if (const auto memory = read_memory(nvml, device)) {
    load.memory_used_bytes = memory->used;
    load.memory_free_bytes = memory->free;
  }
  load.celsius = at_most(ask<unsigned>(nvml.temperature, device, nvml::kTemperatureGpu), 1, 200);
  load.power_watts = at_most(ask<unsigned>(nvml.power, device), 1e-3, 10'000);
  load.processes = read_gpu_processes(nvml, device);
  return load;
}

}  // namespace

struct GpuMonitor::Driver {
  explicit Driver(const std::filesystem::path& name) : library(name), nvml(library) {}
  ~Driver() {
    if (initialised && nvml.shutdown != nullptr) nvml.shutdown();
  }

  SharedLibrary library;
  nvml::Functions nvml;
  bool initialised = false;
  std::vector<nvml::Device> devices;
};

GpuMonitor::GpuMonitor(const std::filesystem::path& library) { open(library); }

GpuMonitor::~GpuMonitor() = default;

void GpuMonitor::open(const std::filesystem::path& library) {
  auto driver = std::make_unique<Driver>(library);
  const nvml::Functions& nvml = driver->nvml;
  if ((problem_ = driver->library.problem())) return;
  if (nvml.init == nullptr || nvml.device_count == nullptr || nvml.device == nullptr) {
    problem_ = fmt::format("{}: lacks the functions of NVML 2", path_name(library));
    return;
  }
  if (const nvml::Result result = nvml.init(); result != nvml::kSuccess) {
    problem_ = fmt::format("{}: NVML does not start: error {}", path_name(library), result);
    return;
  }
  driver->initialised = true;
  const auto count = ask<unsigned>(nvml.device_count);
  if (!count || *count > kMostGpus) {
    problem_ = count ? fmt::format("{}: found {} GPUs, at most {} are expected", path_name(library), *count,
                                   kMostGpus)
                     : fmt::format("{}: NVML does not tell the number of GPUs", path_name(library));
    return;
  }
  for (unsigned index = 0; index < *count; ++index) {
    const auto device = ask<nvml::Device>(nvml.device, index);
    if (!device || *device == nullptr) continue;  // no right to use it, or it is lost
    GpuFacts facts{.name = read_name(nvml, *device),
                   .compute_capability = read_capability(nvml, *device),
                   .memory_bytes = std::nullopt};
    if (const auto memory = read_memory(nvml, *device)) facts.memory_bytes = memory->total;
    driver->devices.push_back(*device);
    facts_.push_back(std::move(facts));
  }
  driver_ = std::move(driver);
}

std::vector<GpuLoad> GpuMonitor::read() {
  std::vector<GpuLoad> out;
  if (driver_ == nullptr) return out;
  for (nvml::Device device : driver_->devices) {
    out.push_back(read_load(driver_->nvml, device, static_cast<int>(out.size())));
  }
  return out;
}

}  // namespace qvl
