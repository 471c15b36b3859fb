#include "optimizer/pass.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"

namespace qvl {
namespace {

std::string budget(uint64_t bytes) { return bytes == 0 ? "off" : mebibytes(bytes); }
std::string on_off(bool on) { return on ? "on" : "off"; }

std::string vision_chunk(const Plan& plan) {
  return plan.vision_blocks_per_step == 0 ? "no tower"
                                          : fmt::format("{} blocks", plan.vision_blocks_per_step);
}
std::string pins(const Plan& plan) {
  return plan.pinned_cpus.empty() ? "off" : fmt::format("processors {}", fmt::join(plan.pinned_cpus, ","));
}
std::string clean_up(const Plan& plan) {
  return plan.trim_interval ? fmt::format("every {} operations", *plan.trim_interval) : "off";
}

}  // namespace

std::string report_line(std::string_view name, std::string_view value) {
  return fmt::format("  {:<26}{}\n", name, value);
}

std::string mebibytes(uint64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / static_cast<double>(1 << 20));
}

std::string_view name_of(Choice choice) {
  constexpr std::string_view names[] = {
      "instruction set", "threads",        "pinning",        "waiting awake", "duty cycle",
      "decoder weights", "vision weights", "packed weights", "huge weights",  "keys and values",
      "prefill chunk",   "vision chunk",   "huge pages",     "memory pool",   "feature cache",
      "prefix cache",    "disk cache",     "clean-up"};
  static_assert(std::size(names) == static_cast<size_t>(Choice::count));
  return names[static_cast<size_t>(choice)];
}

std::string value_of(Choice choice, const Plan& plan) {
  switch (choice) {
    case Choice::instruction_set:
      return std::string(name_of(plan.forms.isa));
    case Choice::threads:
      return plan.threads == 1 ? "1 thread" : fmt::format("{} threads", plan.threads);
    case Choice::pinning:
      return pins(plan);
    case Choice::spinning:
      return plan.spin_us == 0 ? "off" : fmt::format("{} us", plan.spin_us);
    case Choice::duty_cycle:
      return fmt::format("{:.0f} %", 100 * plan.duty_cycle);
    case Choice::text_weights:
      // Finer blocks of a file stay in 8 bits: the cause says so.
      return plan.forms.text == WeightChoice::automatic ? "q4" : std::string(name_of(plan.forms.text));
    case Choice::vision_weights:
      return std::string(name_of(plan.forms.vision));
    case Choice::packed_weights:
      return plan.keep_packed ? "kept in a file" : "in memory";
    case Choice::huge_weights:
      return on_off(plan.huge_weights);
    case Choice::kv:
      return std::string(name_of(plan.forms.kv));
    case Choice::prefill_chunk:
      return fmt::format("{} tokens", plan.prefill_chunk);
    case Choice::vision_chunk:
      return vision_chunk(plan);
    case Choice::huge_pages:
      return on_off(plan.huge_pages);
    case Choice::pool:
      return budget(plan.pool_bytes);
    case Choice::feature_cache:
      return budget(plan.feature_cache_bytes);
    case Choice::prefix_cache:
      return budget(plan.prefix_cache_bytes);
    case Choice::disk_feature_cache:
      return budget(plan.disk_feature_cache_bytes);
    case Choice::clean_up:
      return clean_up(plan);
    case Choice::count:
      break;
  }
  QVL_CHECK(false);
}

double Pass::time_saved(const PassContext& context, const Plan& applied) {
  return predict_times(context.inputs, context.draft).request() -
         predict_times(context.inputs, applied).request();
}

}  // namespace qvl
