// PlanReport as text and as JSON.
#include "qvl/plan_report.h"

#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "base/json.h"
#include "optimizer/pass.h"

namespace qvl {
namespace {

std::string signed_mebibytes(int64_t bytes) {
  return fmt::format("{}{}", bytes < 0 ? '-' : '+', mebibytes(static_cast<uint64_t>(std::abs(bytes))));
}

// ": saves 0.350 s, +12.0 MiB", what there is of it.
std::string effect(double seconds, int64_t bytes) {
  std::string out;
  // What shows as nothing is not shown.
  if (std::abs(seconds) >= 0.0005) out += fmt::format("; saves {:.3f} s", seconds);
  if (std::abs(bytes) >= (1 << 20) / 20) out += "; " + signed_mebibytes(bytes);
  return out;
}

std::string choice_text(const PlanChoice& choice, PlanDetail detail) {
  std::string out = report_line(choice.name, choice.value);
  if (detail == PlanDetail::values) return out;
  const std::string by = choice.pass.empty() ? "" : choice.pass + ": ";
  out += fmt::format("      {}{}{}\n", by, choice.cause, effect(choice.saves_s, choice.bytes));
  for (const PlanAlternative& other : choice.alternatives) {
    out += fmt::format("      not {}{}: {}\n", other.pass,
                       other.value.empty() ? "" : " (" + other.value + ")", other.reason);
  }
  return out;
}

OrderedJson alternative_json(const PlanAlternative& other) {
  return {{"pass", other.pass},
          {"value", other.value.empty() ? OrderedJson() : OrderedJson(other.value)},
          {"reason", other.reason},
          {"saves_s", other.saves_s},
          {"bytes", other.bytes}};
}

OrderedJson choice_json(const PlanChoice& choice) {
  OrderedJson alternatives = OrderedJson::array();
  for (const PlanAlternative& other : choice.alternatives) alternatives.push_back(alternative_json(other));
  return {{"value", choice.value}, {"pass", choice.pass.empty() ? OrderedJson() : OrderedJson(choice.pass)},
          {"cause", choice.cause}, {"saves_s", choice.saves_s},
          {"bytes", choice.bytes}, {"alternatives", std::move(alternatives)}};
}

template <typename Pairs>
OrderedJson object_of(const Pairs& pairs) {
  OrderedJson out = OrderedJson::object();
  for (const auto& [name, value] : pairs) out[name] = value;
  return out;
}

}  // namespace

std::string to_text(const PlanReport& report, PlanDetail detail) {
  std::string out = fmt::format("plan of level {}\n", report.level);
  for (const PlanChoice& choice : report.choices) out += choice_text(choice, detail);
  if (detail == PlanDetail::explained) {
    out += "machine\n";
    for (const auto& [name, value] : report.machine) out += report_line(name, value);
  }
  out += fmt::format("memory for {} tokens and a picture of {} patches\n", report.context_tokens,
                     report.picture_patches);
  for (const auto& [part, bytes] : report.memory) out += report_line(part, mebibytes(bytes));
  out += report_line(
      "in all", fmt::format("{} of {}", mebibytes(report.memory_bytes), mebibytes(report.memory_cap_bytes)));
  out += fmt::format("seconds for a picture of 512 x 512, {} tokens of prompt and {} of answer\n",
                     kReferencePromptTokens, kReferenceAnswerTokens);
  for (const auto& [stage, seconds] : report.seconds)
    out += report_line(stage, fmt::format("{:.4f}", seconds));
  for (const std::string& warning : report.warnings) out += fmt::format("warning: {}\n", warning);
  return out;
}

std::string to_json(const PlanReport& report) {
  OrderedJson choices = OrderedJson::object();
  for (const PlanChoice& choice : report.choices) choices[choice.name] = choice_json(choice);
  const OrderedJson json = {{"level", report.level},
                            {"machine", object_of(report.machine)},
                            {"choices", std::move(choices)},
                            {"context_tokens", report.context_tokens},
                            {"picture_patches", report.picture_patches},
                            {"memory", object_of(report.memory)},
                            {"memory_bytes", report.memory_bytes},
                            {"memory_cap_bytes", report.memory_cap_bytes},
                            {"seconds", object_of(report.seconds)},
                            {"warnings", report.warnings}};
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace qvl
