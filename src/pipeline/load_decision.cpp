#include "pipeline/load_decision.h"

#include <algorithm>
#include <limits>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "memory/memory_limit.h"
#include "memory/memory_size.h"
#include "ops/machine_peaks.h"
#include "ops/weight_packer.h"
#include "optimizer/measurements.h"
#include "optimizer/memory_model.h"
#include "optimizer/passes/pass_list.h"
#include "pipeline/load_plan.h"
#include "threads/thread_pool.h"

namespace qvl {
namespace {

constexpr int64_t kMaxThreads = 1024;

// `threads` of the options stand over the configuration's; 0 are as many as this process may use.
int64_t asked_threads(const LoadOptions& load) {
  if (load.threads < 0 || load.threads > kMaxThreads) {
    fail(ErrorCode::usage, "threads: found {}, expected 0 to {}", load.threads, kMaxThreads);
  }
  return load.threads == 0 ? kMaxThreads : load.threads;
}

// Free bytes for a file below `folder`, which need not be there yet. Nothing without a folder.
std::optional<uint64_t> free_bytes(const std::filesystem::path& folder) {
  if (folder.empty()) return std::nullopt;
  std::error_code error;
  std::filesystem::path there = std::filesystem::absolute(folder, error);
  while (!std::filesystem::exists(there, error) && there.has_relative_path()) there = there.parent_path();
  const auto space = std::filesystem::space(there, error);
  return error ? std::nullopt : std::optional<uint64_t>(space.available);
}

double measure_smt_speedup(const HardwareFacts& hardware) {
  const Isa isa = hardware.isas.back();
  ThreadPool one_each(hardware.cores()), all(static_cast<int>(hardware.cpus.size()));
  return measure_int8_ops_per_second(all, isa) / measure_int8_ops_per_second(one_each, isa);
}

// The stored rates of this machine; with Measure::missing the rest is measured and stored. A folder that
// cannot be written is a warning. Throws Error{cancelled} where `load.stop` ended it.
void add_rates(const LoadOptions& load, PlanOptions::Measure wanted, HardwareFacts& hardware,
               std::vector<std::string>& warnings) {
  const auto folder = cache_folder(load);
  const auto path = rates_file(folder);
  const std::string name = fingerprint(hardware);
  if (!folder.empty()) hardware.measured = read_rates(path, name).value_or(MeasuredRates{});
  if (wanted == PlanOptions::Measure::stored) return;
  ThreadPool pool(hardware.cores());
  // Between two measurements, each a fraction of a second.
  const auto going_on = [&] {
    if (load.stop.stop_requested()) fail(ErrorCode::cancelled, "measuring the machine was stopped");
  };
  const Measure measure{
      .read_gb_s = [&] { return going_on(), measure_read_bytes_per_second(pool, {}) / 1e9; },
      .int8_gop_s = [&](Isa isa) { return going_on(), measure_int8_ops_per_second(pool, isa) / 1e9; },
      .smt_speedup = [&] { return going_on(), measure_smt_speedup(hardware); }};
  if (!measure_missing(hardware, measure, hardware.measured) || folder.empty()) return;
  try {
    write_rates(path, name, hardware.measured);
  } catch (const Error& error) {
    warnings.push_back(fmt::format("measured rates are not kept: {}", error.what()));
  }
}

// Where the cap holds no plan, a request that is less than the least planned for may still find room.
Plan plan_within(const PlanInputs& inputs) { return plan_or_least(inputs, all_passes()); }

// What the plan would be without a quota and with nobody else on the processors: both come and go, and where
// threads follow them as they do, a busy moment at the start must not count for ever.
Plan unhindered_plan(PlanInputs inputs, const Plan& plan) {
  const bool hindered = inputs.hardware.foreign_load > 0 || inputs.hardware.cpu_quota;
  if (!hindered || !inputs.config.dynamic_resource_adjustment) return plan;
  inputs.hardware.foreign_load = 0;
  inputs.hardware.cpu_quota.reset();
  return plan_within(inputs);
}

// What loading has planned from, under another configuration. The limit that it was given stays one.
PlanInputs inputs_under(const LoadDecision& loaded, const SystemOptimizationConfig& config) {
  PlanInputs inputs = loaded.inputs;
  inputs.config = config;
  inputs.memory_limit_bytes.reset();
  if (const auto limit = loaded.inputs.memory_limit_bytes; limit && *limit < inputs.memory_cap()) {
    inputs.memory_limit_bytes = limit;
  }
  return inputs;
}

}  // namespace

PlanInputs plan_inputs(const LoadOptions& load, const ModelFacts& model, PlanOptions::Measure measure,
                       const SystemFiles& files, std::vector<std::string>& warnings) {
  validate(load.system);
  if (load.memory_limit && *load.memory_limit < kLeastMemoryLimit) {
    fail(ErrorCode::usage, "memory_limit: found {}, expected at least {}", *load.memory_limit,
         format_bytes(kLeastMemoryLimit));
  }
  PlanInputs inputs{.model = model,
                    .hardware = read_hardware(files),
                    .config = load.system,
                    .wishes = plan_wishes(load),
                    .memory_limit_bytes = load.memory_limit,
                    .disabled = load.disabled_passes};
  inputs.config.num_compute_threads = asked_threads(load);
  if (load.memory_limit) {
    if (auto lowered = told_if_lowered(*load.memory_limit, files)) warnings.push_back(*std::move(lowered));
  }
  inputs.hardware.cache_free_bytes = free_bytes(cache_folder(load));
  // What is kept already needs no room.
  if (auto& free = inputs.hardware.cache_free_bytes) *free += kept_packed_bytes(load);
  add_rates(load, measure, inputs.hardware, warnings);
  return inputs;
}

LoadDecision decide(PlanInputs inputs) {
  LoadDecision decision{.plan = plan_within(inputs), .config = inputs.config};
  const Plan& plan = decision.plan;
  const Plan unhindered = unhindered_plan(inputs, plan);
  // Up to what was asked for, as processors and quotas come and go.
  if (unhindered.threads == 1) decision.config.num_compute_threads = 1;
  decision.config.memory_pool_size =
      std::min(inputs.config.memory_pool_size, static_cast<int64_t>(plan.pool_bytes));
  decision.limits = {.pinning = !unhindered.pinned_cpus.empty(),
                     .waiting_awake = unhindered.spin_us > 0,
                     .shared_cores = unhindered.threads > inputs.usable_cores(),
                     .resting = plan.duty_cycle < 1,
                     .huge_pages = plan.huge_pages,
                     .interval_clean_up = plan.trim_interval.has_value(),
                     .prefill_chunk = plan.prefill_chunk,
                     .vision_blocks = std::max<int64_t>(plan.vision_blocks_per_step, 1),
                     .feature_bytes = plan.feature_cache_bytes};
  decision.inputs = std::move(inputs);
  return decision;
}

LoadDecision decide_to_load(const LoadOptions& load, const ModelFacts& model, const SystemFiles& files) {
  if (model.linears.empty()) {  // binding tells what is missing
    return {.plan = {.forms = {.isa = chosen_isa(load)}}, .config = load.system};
  }
  std::vector<std::string> unused;
  return decide(plan_inputs(load, model, PlanOptions::Measure::stored, files, unused));
}

std::optional<std::string> cap_too_low(const LoadDecision& decision) {
  const PlanInputs& inputs = decision.inputs;
  const Plan& plan = decision.plan;
  if (inputs.model.linears.empty()) return std::nullopt;
  const uint64_t least = predict_memory(inputs.model, plan).total(), cap = inputs.memory_cap();
  if (least <= cap) return std::nullopt;
  return fmt::format(
      "memory: the cap of {} holds no plan, the least takes {}: only small requests fit, and "
      "everything is computed with {} on {} {}",
      mebibytes(cap), mebibytes(least), name_of(plan.forms.isa), plan.threads,
      plan.threads == 1 ? "thread" : "threads");
}

std::optional<std::string> disk_too_full(const LoadOptions& load, const LoadDecision& decision,
                                         uint64_t bytes) {
  const auto free = decision.inputs.hardware.cache_free_bytes;
  if (!free || bytes < kLeastPackedFile || bytes <= *free || decision.plan.keep_packed || load.in_memory) {
    return std::nullopt;
  }
  PlanInputs with_room = decision.inputs;
  with_room.hardware.cache_free_bytes = std::numeric_limits<uint64_t>::max();
  if (!plan_within(with_room).keep_packed) return std::nullopt;  // the disk is not why
  return fmt::format("packed weights are not kept: {}: {} MiB are free, {} MiB are needed",
                     path_name(cache_folder(load)), *free >> 20, (bytes >> 20) + 1);
}

LoadDecision decide_again(const LoadDecision& loaded, const SystemOptimizationConfig& config) {
  PlanInputs inputs = inputs_under(loaded, config);
  const ModelForms& forms = loaded.plan.forms;
  // The instruction set is chosen as before: what else there is to choose is weighed as it was beside it.
  inputs.wishes = {
      .isa = loaded.inputs.wishes.isa, .text = forms.text, .vision = forms.vision, .kv = forms.kv};
  LoadDecision again = decide(std::move(inputs));
  again.plan.keep_packed = loaded.plan.keep_packed;
  again.plan.huge_weights = loaded.plan.huge_weights;
  return again;
}

std::vector<std::string> decided_by_loading(const LoadDecision& loaded,
                                            const SystemOptimizationConfig& config) {
  const Plan wanted = plan_within(inputs_under(loaded, config));
  std::vector<std::string> lines;
  for (Choice choice : kChoicesOfLoading) {
    const std::string would = value_of(choice, wanted), is = value_of(choice, loaded.plan);
    if (would == is) continue;
    lines.push_back(fmt::format("{}: this configuration would choose {}, loading has chosen {}",
                                name_of(choice), would, is));
  }
  return lines;
}

}  // namespace qvl
