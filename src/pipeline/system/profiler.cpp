// The sampler for programs of their own: profiler/system_profiler.h under the configuration's names.
#include "profiler/system_profiler.h"

#include "base/error.h"
#include "pipeline/system/options.h"
#include "profiler/profile_json.h"
#include "profiler/profile_summary.h"
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

std::string SystemProfiler::system_summary() const {
  const auto cost = state_->sampler.cost();
  OrderedJson out = {{"profiling", profiling()}};
  out.update(to_json(summarise(state_->sampler.history())));
  out["cost"] = {{"cpu_s", cost.cpu_s}, {"longest_ms", 1e3 * cost.longest_s}, {"failed", cost.failed}};
  return out.dump();
}

}  // namespace qvl::system
