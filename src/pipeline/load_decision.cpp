#include "pipeline/load_decision.h"

#include <algorithm>
#include <system_error>

#include "base/error.h"
#include "ops/machine_peaks.h"
#include "optimizer/measurements.h"
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
  const auto path = folder / "machine.json";
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

}  // namespace

PlanInputs plan_inputs(const LoadOptions& load, const ModelFacts& model, PlanOptions::Measure measure,
                       std::vector<std::string>& warnings) {
  validate(load.system);
  PlanInputs inputs{.model = model,
                    .hardware = read_hardware(SystemFiles()),
                    .config = load.system,
                    .wishes = plan_wishes(load),
                    .memory_limit_bytes = load.memory_limit,
                    .disabled = load.disabled_passes};
  inputs.config.num_compute_threads = asked_threads(load);
  inputs.hardware.cache_free_bytes = free_bytes(cache_folder(load));
  add_rates(load, measure, inputs.hardware, warnings);
  return inputs;
}

Plan plan_to_load(const LoadOptions& load, const ModelFacts& model) {
  if (model.linears.empty()) return {.forms = {.isa = chosen_isa(load)}};  // binding tells what is missing
  std::vector<std::string> unused;
  const PlanInputs inputs = plan_inputs(load, model, PlanOptions::Measure::stored, unused);
  try {
    return resolve(inputs, all_passes()).plan;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::limit) throw;
    return {.forms = {.text = inputs.wishes.text.value_or(WeightChoice::automatic),
                      .vision = inputs.wishes.vision.value_or(WeightChoice::automatic),
                      .kv = inputs.wishes.kv.value_or(KvForm::i8),
                      .isa = chosen_isa(load)},
            .threads = static_cast<int>(asked_threads(load)),
            .keep_packed = true};
  }
}

SystemOptimizationConfig planned_config(const LoadOptions& load, const Plan& plan) {
  SystemOptimizationConfig config = load.system;
  // The plan has looked at quotas as they are; threads follow them as they change, up to what was asked for.
  const bool all_threads = plan.threads > 1;
  config.num_compute_threads = all_threads ? asked_threads(load) : plan.threads;
  config.memory_pool_size = std::min(config.memory_pool_size, static_cast<int64_t>(plan.pool_bytes));
  return config;
}

}  // namespace qvl
