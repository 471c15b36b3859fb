#include "pipeline/system_layer.h"

#include "pipeline/system/options.h"
#include "profiler/steady_clock.h"

namespace qvl {
SystemLayer::SystemLayer(const SystemOptimizationConfig& config, Tracing tracing)
    : threads_(thread_options(config)), adaptation_(config, threads_, SystemFiles(), &tracer_) {
  if (tracing == Tracing::on) tracer_.enable();
}

void SystemLayer::between_steps() { adaptation_.update(steady_ns() / 1000); }

}  // namespace qvl
