// The sampler for programs of their own: profiler/system_profiler.h under the configuration's names, and the
// meter of energy.
#include "profiler/system_profiler.h"

#include <mutex>

#include "base/error.h"
#include "pipeline/system/options.h"
#include "pipeline/system/report.h"
#include "profiler/energy.h"
#include "profiler/profile_json.h"
#include "qvl/system.h"

namespace qvl::system {

struct SystemProfiler::State {
  explicit State(const SystemOptimizationConfig& config)
      : enabled(config.enable_profiling), sampler(profiler_options(config)) {}
  const bool enabled;
  qvl::SystemProfiler sampler;
};

static_assert(SystemProfiler::kMostProfiles == ProfilerOptions{}.history);

SystemProfiler::SystemProfiler(const SystemOptimizationConfig& config)
    : state_(std::make_unique<State>(config)) {}
SystemProfiler::~SystemProfiler() = default;
SystemProfiler::SystemProfiler(SystemProfiler&&) noexcept = default;

bool SystemProfiler::start_profiling() {
  if (!state_->enabled) return false;
  if (!state_->sampler.start()) {
    fail(ErrorCode::environment, "profiler: the system refuses a thread");
  }
  return true;
}

void SystemProfiler::stop_profiling() { state_->sampler.stop(); }

bool SystemProfiler::profiling() const { return state_->sampler.running(); }

std::string SystemProfiler::current_profile() {
  const auto latest = state_->sampler.running() ? state_->sampler.latest() : nullptr;
  return to_json(latest ? *latest : *state_->sampler.sample_now()).dump();
}

std::string SystemProfiler::profiles() const {
  OrderedJson out = OrderedJson::array();
  for (const auto& sample : state_->sampler.history()) out.push_back(to_json(*sample));
  return out.dump();
}

std::string SystemProfiler::system_summary() const { return summary_keys(&state_->sampler).dump(); }

struct EnergyMeter::State {
  std::mutex mutex;
  qvl::EnergyMeter meter{SystemFiles()};
};

EnergyMeter::EnergyMeter() : state_(std::make_unique<State>()) {}
EnergyMeter::~EnergyMeter() = default;
EnergyMeter::EnergyMeter(EnergyMeter&&) noexcept = default;

void EnergyMeter::advance() {
  const std::lock_guard lock(state_->mutex);
  state_->meter.advance();
}

std::optional<double> EnergyMeter::joules() {
  const std::lock_guard lock(state_->mutex);
  state_->meter.advance();
  return state_->meter.joules();
}

}  // namespace qvl::system
