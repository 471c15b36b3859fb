// RequestPlan as text and as JSON.
#include "qvl/request_plan.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "optimizer/pass.h"

namespace qvl {
namespace {

std::string_view name_of(MediumPlan::Kind kind) {
  return kind == MediumPlan::Kind::image ? "image" : "video";
}

std::string medium_text(const MediumPlan& medium) {
  return fmt::format("{} {}\n", name_of(medium.kind), path_name(medium.path)) +
         report_line("size", fmt::format("{} x {} pixels, resized to {} x {}", medium.size.width,
                                         medium.size.height, medium.resized.width, medium.resized.height)) +
         report_line("grid",
                     fmt::format("{} x {} x {} patches", medium.grid_t, medium.grid_h, medium.grid_w)) +
         report_line("tokens",
                     fmt::format("{}{}", medium.tokens, medium.kept ? ", kept of an earlier request" : ""));
}

OrderedJson size_json(const PixelSize& size) { return {{"width", size.width}, {"height", size.height}}; }

OrderedJson medium_json(const MediumPlan& medium) {
  return {{"path", medium.path.string()},
          {"kind", name_of(medium.kind)},
          {"size", size_json(medium.size)},
          {"resized", size_json(medium.resized)},
          {"grid", {{"t", medium.grid_t}, {"h", medium.grid_h}, {"w", medium.grid_w}}},
          {"tokens", medium.tokens},
          {"kept", medium.kept}};
}

using Stages = std::vector<std::pair<std::string_view, std::optional<double>>>;

Stages stages_of(const PlannedSeconds& seconds) {
  return {{"prepare", seconds.prepare},
          {"encode", seconds.encode},
          {"prefill", seconds.prefill},
          {"decode", seconds.decode},
          {"first_token", seconds.first_token}};
}

}  // namespace

std::string to_text(const RequestPlan& plan) {
  std::string out;
  for (const MediumPlan& medium : plan.media) out += medium_text(medium);
  out += "tokens\n";
  out += report_line("prompt", fmt::format("{}, {} of them of pictures and videos, {} kept",
                                           plan.prompt_tokens, plan.image_tokens, plan.cached_tokens));
  out += report_line("answer", fmt::format("{} at most", plan.answer_tokens));
  out += report_line("context", fmt::format("{}", plan.context_tokens));
  out += "memory\n";
  for (const auto& [part, bytes] : plan.memory) out += report_line(part, mebibytes(bytes));
  out +=
      report_line("in all", fmt::format("{}, {} free of the limit of {}: {}", mebibytes(plan.memory_bytes),
                                        mebibytes(plan.memory_free_bytes), mebibytes(plan.memory_limit_bytes),
                                        plan.fits ? "fits" : "does not fit"));
  out += "seconds\n";
  for (const auto& [stage, seconds] : stages_of(plan.seconds)) {
    out += report_line(stage, seconds ? fmt::format("{:.4f}", *seconds) : "not measured yet");
  }
  return out;
}

std::string to_json(const RequestPlan& plan) {
  OrderedJson media = OrderedJson::array(), memory = OrderedJson::object(), seconds = OrderedJson::object();
  for (const MediumPlan& medium : plan.media) media.push_back(medium_json(medium));
  for (const auto& [part, bytes] : plan.memory) memory[part] = bytes;
  for (const auto& [stage, value] : stages_of(plan.seconds)) {
    seconds[std::string(stage)] = value ? OrderedJson(*value) : OrderedJson();
  }
  const OrderedJson json = {{"media", std::move(media)},
                            {"prompt_tokens", plan.prompt_tokens},
                            {"image_tokens", plan.image_tokens},
                            {"cached_tokens", plan.cached_tokens},
                            {"context_tokens", plan.context_tokens},
                            {"answer_tokens", plan.answer_tokens},
                            {"memory", std::move(memory)},
                            {"memory_bytes", plan.memory_bytes},
                            {"memory_free_bytes", plan.memory_free_bytes},
                            {"memory_limit_bytes", plan.memory_limit_bytes},
                            {"fits", plan.fits},
                            {"seconds", std::move(seconds)}};
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace qvl
