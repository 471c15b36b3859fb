#include "optimizer/explain.h"

#include "base/error.h"

namespace qvl {
namespace {

bool asked_for(Choice choice, const PlanWishes& wishes) {
  switch (choice) {
    case Choice::instruction_set:
      return wishes.isa.has_value();
    case Choice::text_weights:
      return wishes.text.has_value();
    case Choice::vision_weights:
      return wishes.vision.has_value();
    case Choice::kv:
      return wishes.kv.has_value();
    default:
      return false;
  }
}

PlanChoice choice_of(Choice choice, const PlanInputs& inputs, const Resolution& resolution) {
  PlanChoice out{.name = std::string(name_of(choice)),
                 .value = value_of(choice, resolution.plan),
                 .cause = asked_for(choice, inputs.wishes) ? "asked for" : "the baseline"};
  for (const PassOutcome& outcome : resolution.outcomes) {
    if (outcome.choice != choice) continue;
    if (outcome.verdict == PassVerdict::taken) {
      out.pass = outcome.name;
      out.cause = outcome.reason;
      out.saves_s = outcome.seconds;
      out.bytes = outcome.bytes;
    } else {
      out.alternatives.push_back({.pass = outcome.name,
                                  .value = outcome.value,
                                  .reason = outcome.reason,
                                  .saves_s = outcome.seconds,
                                  .bytes = outcome.bytes});
    }
  }
  return out;
}

std::string measured(double value, const char* unit, bool was_measured) {
  return fmt::format("{:.1f} {}, {}", value, unit, was_measured ? "measured" : "assumed");
}

std::vector<std::pair<std::string, std::string>> machine_of(const PlanInputs& inputs, Isa isa) {
  const HardwareFacts& hardware = inputs.hardware;
  std::string isas;
  for (Isa each : hardware.isas) isas += (isas.empty() ? "" : ", ") + std::string(name_of(each));
  std::vector<std::pair<std::string, std::string>> out = {
      {"processor", hardware.processor.empty() ? "unknown" : printable(hardware.processor)},
      {"cores", fmt::format("{}, {} threads to use", inputs.usable_cores(), inputs.usable_cpus().size())},
      {"instruction sets", isas},
      {"memory", mebibytes(hardware.usable_memory())},
      {"reads", measured(read_gb_s(hardware), "GB/s", hardware.measured.read_gb_s.has_value())},
      {"8-bit products of a core",
       measured(int8_gop_s_per_core(hardware, isa), "GOP/s", hardware.measured.int8_gop_s.contains(isa))},
      {"load of others", fmt::format("{:.2f} processors", hardware.foreign_load)}};
  if (hardware.cpu_quota) out.emplace_back("quota", fmt::format("{:.2f} processors", *hardware.cpu_quota));
  return out;
}

}  // namespace

PlanReport explain(const PlanInputs& inputs, const Resolution& resolution) {
  const Plan& plan = resolution.plan;
  PlanReport report{.level = inputs.config.optimization_level,
                    .machine = machine_of(inputs, plan.forms.isa),
                    .context_tokens = plan.context_tokens,
                    .picture_patches = plan.picture_patches,
                    .memory_bytes = resolution.memory.total(),
                    .memory_cap_bytes = inputs.memory_cap()};
  for (size_t i = 0; i < static_cast<size_t>(Choice::count); ++i) {
    report.choices.push_back(choice_of(static_cast<Choice>(i), inputs, resolution));
  }
  for (const auto& [name, bytes] : resolution.memory.parts()) report.memory.emplace_back(name, bytes);
  const StageTimes& times = resolution.times;
  report.seconds = {{"start", times.start},
                    {"vision", times.vision},
                    {"prefill", times.prefill},
                    {"decode, a token", times.decode_token},
                    {"request", times.request()}};
  return report;
}

}  // namespace qvl
