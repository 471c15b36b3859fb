#include "pipeline/engine/engine_options.h"

#include <algorithm>
#include <cmath>

#include "pipeline/engine/engine_request.h"
#include "pipeline/system/options.h"

namespace qvl {
namespace {

constexpr uint32_t kDecodeBatch = 8;
// Beside decoders so few tokens of a prompt cost next to nothing: the weights are read for those anyway.
constexpr uint32_t kFewPromptTokens = 7;
// As many again may be at their pictures or prompts while a full batch decodes.
constexpr uint64_t kTogether = 2 * kDecodeBatch;

}  // namespace

scheduling::SchedulerOptions engine_options(EngineModel& model, const SystemOptimizationConfig& config) {
  scheduling::SchedulerOptions options;
  options.scheduling =
      config.resource_scheduling_enabled ? scheduling::Scheduling::enabled : scheduling::Scheduling::disabled;
  options.algorithm = algorithm_of(config.scheduling_algorithm);
  options.capacities.compute = 1000 * static_cast<uint64_t>(model.layer().compute_threads());
  options.capacities.memory = model.layer().memory().ledger().free_bytes() + model.cached_bytes();
  options.reservation_permille = static_cast<int>(std::lround(config.resource_reservation_ratio * 1000));
  options.max_preparing = static_cast<uint32_t>(config.num_preprocess_threads);
  options.max_decode_batch = kDecodeBatch;
  options.least_prefill_chunk = kFewPromptTokens;
  options.prefill_chunk = static_cast<uint32_t>(model.layer().prefill_chunk(kMostPromptTokens));
  // Each request says how many of its pictures fit a step.
  options.vision_steps = model.most_vision_steps();
  return options;
}

uint64_t share_of_one(const scheduling::Scheduler& scheduler) {
  return std::max<uint64_t>(scheduler.resources().limits().compute / kTogether, 1);
}

}  // namespace qvl
