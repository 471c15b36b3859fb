#include "answer_report.h"

#include <sys/resource.h>

#include <string_view>

#include "number_text.h"

namespace qvl::cli {
namespace {

std::string_view name_of(FinishReason reason) {
  switch (reason) {
    case FinishReason::length:
      return "length";
    case FinishReason::cancelled:
      return "cancelled";
    case FinishReason::stop:
      break;
  }
  return "stop";
}

int64_t peak_rss_bytes() {
  struct rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;  // Linux counts in KiB
}

Json memory_report(const Model& model) {
  Json report = Json::parse(model.memory_json());
  report["peak_rss_bytes"] = peak_rss_bytes();
  return report;
}

}  // namespace

std::string to_line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json answer_fields(const Answer& answer) {
  const Usage& usage = answer.usage;
  const Timings& timings = answer.timings;
  return {{"text", answer.text},
          {"tokens", answer.tokens},
          {"finish_reason", name_of(answer.finish_reason)},
          {"usage",
           {{"prompt_tokens", usage.prompt_tokens},
            {"image_tokens", usage.image_tokens},
            {"completion_tokens", usage.completion_tokens}}},
          {"timings",
           {{"load_s", timings.load_s},
            {"preprocess_s", timings.preprocess_s},
            {"vision_s", timings.vision_s},
            {"prefill_s", timings.prefill_s},
            {"decode_s", timings.decode_s},
            {"time_to_first_token_s", timings.time_to_first_token_s}}}};
}

Json answer_json(const Answer& answer, const Model& model) {
  Json json = answer_fields(answer);
  json["memory"] = memory_report(model);
  json["threads"] = model.threads();
  json["warnings"] = model.warnings();
  return json;
}

std::string timings_line(const Answer& answer) {
  const Timings& t = answer.timings;
  const auto tokens = answer.usage.completion_tokens;
  std::string line = "load " + fixed(t.load_s, 2) + " s, preprocess " + fixed(t.preprocess_s, 2) +
                     " s, vision " + fixed(t.vision_s, 2) + " s, prefill " + fixed(t.prefill_s, 2) + " s (" +
                     std::to_string(answer.usage.prompt_tokens - answer.usage.cached_tokens) +
                     " tokens), decode " + fixed(t.decode_s, 2) + " s (" + std::to_string(tokens) + " tokens";
  if (t.decode_s > 0 && tokens > 0)
    line += ", " + fixed(static_cast<double>(tokens) / t.decode_s, 1) + " per second";
  line += "), first token after " + fixed(t.time_to_first_token_s, 2) + " s, peak memory " +
          std::to_string(peak_rss_bytes() >> 20) + " MiB";
  return line;
}

}  // namespace qvl::cli
