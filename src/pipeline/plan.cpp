// plan_for(): facts of the machine and of the files, handed to the optimizer.
#include "qvl/plan.h"

#include <system_error>

#include "base/error.h"
#include "files/model_files.h"
#include "ops/machine_peaks.h"
#include "optimizer/explain.h"
#include "optimizer/measurements.h"
#include "optimizer/passes/pass_list.h"
#include "optimizer/resolve.h"
#include "pipeline/load_plan.h"
#include "pipeline/memory_guard.h"
#include "threads/thread_pool.h"

namespace qvl {
namespace {

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
// cannot be written is a warning.
void add_rates(const std::filesystem::path& folder, PlanOptions::Measure wanted, HardwareFacts& hardware,
               std::vector<std::string>& warnings) {
  const auto path = folder / "machine.json";
  const std::string name = fingerprint(hardware);
  if (!folder.empty()) hardware.measured = read_rates(path, name).value_or(MeasuredRates{});
  if (wanted == PlanOptions::Measure::stored) return;
  ThreadPool pool(hardware.cores());
  const Measure measure{.read_gb_s = [&] { return measure_read_bytes_per_second(pool, {}) / 1e9; },
                        .int8_gop_s = [&](Isa isa) { return measure_int8_ops_per_second(pool, isa) / 1e9; },
                        .smt_speedup = [&] { return measure_smt_speedup(hardware); }};
  if (!measure_missing(hardware, measure, hardware.measured) || folder.empty()) return;
  try {
    write_rates(path, name, hardware.measured);
  } catch (const Error& error) {
    warnings.push_back(fmt::format("measured rates are not kept: {}", error.what()));
  }
}

}  // namespace

PlanReport plan_for(const LoadOptions& load, const PlanOptions& options) {
  return with_memory_for("to plan", [&] {
    validate(load.system);
    const ModelFiles files = open_model_files(load.path, load.mmproj);
    PlanInputs inputs{.model = model_facts(files),
                      .hardware = read_hardware(SystemFiles()),
                      .config = load.system,
                      .wishes = plan_wishes(load),
                      .memory_limit_bytes = load.memory_limit,
                      .disabled = options.disabled_passes};
    if (load.threads > 0) inputs.config.num_compute_threads = load.threads;
    std::vector<std::string> warnings = files.warnings;
    const auto folder = cache_folder(load);
    inputs.hardware.cache_free_bytes = free_bytes(folder);
    add_rates(folder, options.measure, inputs.hardware, warnings);
    PlanReport report = explain(inputs, resolve(inputs, all_passes()));
    report.warnings = std::move(warnings);
    return report;
  });
}

}  // namespace qvl
