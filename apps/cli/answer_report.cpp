#include "answer_report.h"

#include <sys/resource.h>

#include <algorithm>
#include <string_view>

#include "number_text.h"

namespace qvl::cli {
namespace {

Json media_json(const Answer& answer) {
  Json media = Json::array();
  for (const MediumReport& medium : answer.media) {
    media.push_back({{"path", medium.path.string()}, {"features", name_of(medium.features)}});
  }
  return media;
}

// "1 of 2 pictures and videos looked at"; empty where all were.
std::string kept_media(const Answer& answer) {
  const auto computed =
      std::count_if(answer.media.begin(), answer.media.end(),
                    [](const MediumReport& medium) { return medium.features == FeatureOrigin::computed; });
  if (computed == std::ssize(answer.media)) return "";
  return " (" + std::to_string(computed) + " of " + std::to_string(answer.media.size()) + " looked at)";
}

int64_t peak_rss_bytes() {
  struct rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;  // Linux counts in KiB
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
            {"cached_tokens", usage.cached_tokens},
            {"completion_tokens", usage.completion_tokens}}},
          {"timings",
           {{"load_s", timings.load_s},
            {"preprocess_s", timings.preprocess_s},
            {"vision_s", timings.vision_s},
            {"prefill_s", timings.prefill_s},
            {"decode_s", timings.decode_s},
            {"time_to_first_token_s", timings.time_to_first_token_s}}},
          {"media", media_json(answer)}};
}

Json answer_json(const Answer& answer, const Model& model) {
  Json json = answer_fields(answer);
  json["memory"] = Json::parse(model.memory_json());
  json["threads"] = model.threads();
  json["followed"] = Json::parse(model.followed_json());
  json["warnings"] = model.warnings();
  return json;
}

std::string timings_line(const Answer& answer) {
  const Timings& t = answer.timings;
  const auto tokens = answer.usage.completion_tokens;
  std::string line = "load " + fixed(t.load_s, 2) + " s, preprocess " + fixed(t.preprocess_s, 2) +
                     " s, vision " + fixed(t.vision_s, 2) + " s" + kept_media(answer) + ", prefill " +
                     fixed(t.prefill_s, 2) + " s (" +
                     std::to_string(answer.usage.prompt_tokens - answer.usage.cached_tokens) +
                     " tokens), decode " + fixed(t.decode_s, 2) + " s (" + std::to_string(tokens) + " tokens";
  if (t.decode_s > 0 && tokens > 0)
    line += ", " + fixed(static_cast<double>(tokens) / t.decode_s, 1) + " per second";
  line += "), first token after " + fixed(t.time_to_first_token_s, 2) + " s, peak memory " +
          std::to_string(peak_rss_bytes() >> 20) + " MiB";
  return line;
}

}  // namespace qvl::cli
