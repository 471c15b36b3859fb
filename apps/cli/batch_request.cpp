#include "batch_request.h"

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "answer_report.h"
#include "json_text.h"
#include "media_list.h"
#include "options.h"

namespace qvl::cli {
namespace {

constexpr int kMaxDepth = 8;

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorCode::usage, message); }

// Strict where the parser is lenient: no deep nesting, no key twice.
Json parse_object(const std::string& text) {
  std::vector<std::set<std::string>> keys;
  const auto check = [&](int depth, Json::parse_event_t event, Json& value) {
    using Event = Json::parse_event_t;
    if (event == Event::object_start || event == Event::array_start) {
      if (depth >= kMaxDepth) refuse("nested deeper than " + std::to_string(kMaxDepth));
    }
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(value.get<std::string>()).second) {
      refuse(value.get<std::string>() + ": given twice");
    }
    return true;
  };
  try {
    Json json = Json::parse(text, check);
    if (!json.is_object()) refuse("found " + shown(json) + ", expected a JSON object");
    return json;
  } catch (const Json::parse_error& error) {
    refuse("malformed JSON at byte " + std::to_string(error.byte));
  } catch (const Json::exception&) {
    refuse("malformed JSON: a number that is too large");
  }
}

// What a line gives for one key.
struct Given {
  const std::string& key;
  const Json& value;
  const std::string& line;

  [[noreturn]] void refuse_for(const std::string& expected) const {
    refuse(key + ": found " + shown_as_written(line, key, value) + ", expected " + expected);
  }
};

std::string text_of(const Given& given) {
  if (!given.value.is_string()) given.refuse_for("a text");
  return given.value.get<std::string>();
}

double number_of(const Given& given) {
  if (!given.value.is_number()) given.refuse_for("a number");
  return given.value.get<double>();
}

int64_t integer_of(const Given& given) {
  const Json& value = given.value;
  const bool fits = value.is_number_integer() &&
                    !(value.is_number_unsigned() &&
                      value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
  if (!fits) given.refuse_for("an integer of at most 64 bits");
  return value.get<int64_t>();
}

// Here rather than in the pipeline, which knows one name of it.
int64_t answer_length_of(const Given& given) {
  constexpr int64_t kMost = 1 << 24;
  if (!given.value.is_number_integer() || given.value < 1 || given.value > kMost) {
    given.refuse_for("an integer from 1 to " + std::to_string(kMost));
  }
  return given.value.get<int64_t>();
}

uint64_t unsigned_of(const Given& given) {
  if (!given.value.is_number_unsigned()) {
    given.refuse_for("an integer from 0 to " + std::to_string(std::numeric_limits<uint64_t>::max()));
  }
  return given.value.get<uint64_t>();
}

std::vector<std::string> texts_of(const Given& given) {
  if (given.value.is_string()) return {given.value.get<std::string>()};
  const auto is_text = [](const Json& each) { return each.is_string(); };
  if (!given.value.is_array() || !std::all_of(given.value.begin(), given.value.end(), is_text)) {
    given.refuse_for("a text or a list of texts");
  }
  return given.value.get<std::vector<std::string>>();
}

template <typename Value>
Value choice_of(const Given& given, std::initializer_list<std::pair<std::string_view, Value>> choices) {
  std::string names;
  for (const auto& [name, choice] : choices) {
    if (given.value.is_string() && given.value.get_ref<const std::string&>() == name) return choice;
    (names += names.empty() ? "" : ", ") += name;
  }
  given.refuse_for("one of " + names);
}

using Read = void (*)(const Given& given, InferenceRequest& request);

struct Field {
  std::string_view name;
  Read read;
};

// Everything but id and the lists of files.
constexpr std::array kFields = {
    Field{"prompt", [](const Given& given, InferenceRequest& request) { request.prompt = text_of(given); }},
    Field{"system", [](const Given& given, InferenceRequest& request) { request.system = text_of(given); }},
    Field{"class",
          [](const Given& given, InferenceRequest& request) {
            request.request_class =
                choice_of<RequestClass>(given, {{"interactive", RequestClass::interactive},
                                                {"normal", RequestClass::normal},
                                                {"background", RequestClass::background}});
          }},
    Field{"client",
          [](const Given& given, InferenceRequest& request) { request.client = unsigned_of(given); }},
    Field{
        "max_image_tokens",
        [](const Given& given, InferenceRequest& request) { request.max_image_tokens = integer_of(given); }},
    Field{"deadline_ms",
          [](const Given& given, InferenceRequest& request) { request.deadline_ms = integer_of(given); }},
    Field{"video_prompt",
          [](const Given& given, InferenceRequest& request) {
            request.video_prompt = choice_of<VideoPrompt>(
                given, {{"timestamps", VideoPrompt::timestamps}, {"nested", VideoPrompt::nested_timestamps}});
          }},
    Field{"max_tokens",
          [](const Given& given, InferenceRequest& request) {
            request.generation.max_tokens = answer_length_of(given);
          }},
    Field{"max_new_tokens",
          [](const Given& given, InferenceRequest& request) {
            request.generation.max_tokens = answer_length_of(given);
          }},
    Field{"temperature",
          [](const Given& given, InferenceRequest& request) {
            request.generation.temperature = number_of(given);
          }},
    Field{"top_k", [](const Given& given,
                      InferenceRequest& request) { request.generation.top_k = integer_of(given); }},
    Field{"top_p",
          [](const Given& given, InferenceRequest& request) { request.generation.top_p = number_of(given); }},
    Field{"repetition_penalty",
          [](const Given& given, InferenceRequest& request) {
            request.generation.repetition_penalty = number_of(given);
          }},
    Field{"presence_penalty",
          [](const Given& given, InferenceRequest& request) {
            request.generation.presence_penalty = number_of(given);
          }},
    Field{"seed", [](const Given& given,
                     InferenceRequest& request) { request.generation.seed = unsigned_of(given); }},
    Field{"stop",
          [](const Given& given, InferenceRequest& request) { request.generation.stop = texts_of(given); }},
};

const Field& field_of(const std::string& key) {
  std::string names = "id, images, videos";
  for (const Field& field : kFields) {
    if (field.name == key) return field;
    (names += ", ") += field.name;
  }
  refuse(quoted(key) + ": unknown key, expected one of " + names);
}

void read_fields(const std::string& line, const BatchDefaults& defaults, BatchRequest& out) {
  const Json json = parse_object(line);
  if (json.contains("id")) {
    const Json& id = json["id"];
    if (!id.is_string() && !id.is_number_integer() && !id.is_null()) {
      Given{"id", id, line}.refuse_for("a text or an integer");
    }
    out.id = id;
  }
  if (json.contains("max_tokens") && json.contains("max_new_tokens")) {
    refuse("max_new_tokens: is another name of max_tokens, which is given too");
  }
  for (const auto& [key, value] : json.items()) {
    if (key == "id" || key == "images" || key == "videos") continue;
    const Field& field = field_of(key);
    if (!value.is_null()) field.read({.key = key, .value = value, .line = line}, out.request);
  }
  const auto images = media_list(json, "images", defaults.folder);
  out.request.images.assign(images.begin(), images.end());
  out.request.videos = media_list(json, "videos", defaults.folder);
}

}  // namespace

BatchRequest parse_batch_line(const TextLine& line, const BatchDefaults& defaults) {
  BatchRequest out{.request = defaults.request};
  try {
    if (line.length == TextLine::Length::too_long) {
      throw Error(ErrorCode::limit,
                  "a line of more than the " + std::to_string(kMaxRequestBytes) + " bytes allowed");
    }
    read_fields(line.text, defaults, out);
  } catch (const Error& error) {
    out.refusal = error;
  }
  return out;
}

}  // namespace qvl::cli
