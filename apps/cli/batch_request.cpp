#include "batch_request.h"

#include <array>
#include <limits>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "answer_report.h"
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
    if (!json.is_object()) refuse("expected a JSON object");
    return json;
  } catch (const Json::parse_error& error) {
    refuse("malformed JSON at byte " + std::to_string(error.byte));
  } catch (const Json::exception&) {
    refuse("malformed JSON: a number that is too large");
  }
}

std::string text_of(const std::string& key, const Json& value) {
  if (!value.is_string()) refuse(key + ": expected a text");
  return value.get<std::string>();
}

double number_of(const std::string& key, const Json& value) {
  if (!value.is_number()) refuse(key + ": found " + quoted(value.dump()) + ", expected a number");
  return value.get<double>();
}

int64_t integer_of(const std::string& key, const Json& value) {
  const bool fits = value.is_number_integer() &&
                    !(value.is_number_unsigned() &&
                      value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
  if (!fits) refuse(key + ": found " + quoted(value.dump()) + ", expected an integer");
  return value.get<int64_t>();
}

uint64_t unsigned_of(const std::string& key, const Json& value) {
  if (!value.is_number_unsigned()) {
    refuse(key + ": found " + quoted(value.dump()) + ", expected an integer of 0 or more");
  }
  return value.get<uint64_t>();
}

std::vector<std::string> texts_of(const std::string& key, const Json& value) {
  if (value.is_string()) return {value.get<std::string>()};
  if (!value.is_array()) refuse(key + ": expected a text or a list of texts");
  std::vector<std::string> texts;
  for (const Json& text : value) texts.push_back(text_of(key, text));
  return texts;
}

template <typename Value>
Value choice_of(const std::string& key, const Json& value,
                std::initializer_list<std::pair<std::string_view, Value>> choices) {
  std::string names;
  for (const auto& [name, choice] : choices) {
    if (value.is_string() && value.get_ref<const std::string&>() == name) return choice;
    (names += names.empty() ? "" : ", ") += name;
  }
  refuse(key + ": found " + quoted(value.dump()) + ", expected one of " + names);
}

using Read = void (*)(const std::string& key, const Json& value, InferenceRequest& request);

struct Field {
  std::string_view name;
  Read read;
};

// Everything but id and the lists of files.
constexpr std::array kFields = {
    Field{"prompt", [](const std::string& key, const Json& value,
                       InferenceRequest& request) { request.prompt = text_of(key, value); }},
    Field{"system", [](const std::string& key, const Json& value,
                       InferenceRequest& request) { request.system = text_of(key, value); }},
    Field{"class",
          [](const std::string& key, const Json& value, InferenceRequest& request) {
            request.request_class = choice_of<RequestClass>(key, value,
                                                            {{"interactive", RequestClass::interactive},
                                                             {"normal", RequestClass::normal},
                                                             {"background", RequestClass::background}});
          }},
    Field{"client", [](const std::string& key, const Json& value,
                       InferenceRequest& request) { request.client = unsigned_of(key, value); }},
    Field{"max_image_tokens",
          [](const std::string& key, const Json& value, InferenceRequest& request) {
            request.max_image_tokens = integer_of(key, value);
          }},
    Field{"deadline_ms", [](const std::string& key, const Json& value,
                            InferenceRequest& request) { request.deadline_ms = integer_of(key, value); }},
    Field{"video_prompt",
          [](const std::string& key, const Json& value, InferenceRequest& request) {
            request.video_prompt = choice_of<VideoPrompt>(
                key, value,
                {{"timestamps", VideoPrompt::timestamps}, {"nested", VideoPrompt::nested_timestamps}});
          }},
    Field{"max_tokens",
          [](const std::string& key, const Json& value, InferenceRequest& request) {
            request.generation.max_tokens = integer_of(key, value);
          }},
    Field{"max_new_tokens",
          [](const std::string& key, const Json& value, InferenceRequest& request) {
            request.generation.max_tokens = integer_of(key, value);
          }},
    Field{"temperature",
          [](const std::string& key, const Json& value, InferenceRequest& request) {
            request.generation.temperature = number_of(key, value);
          }},
    Field{"top_k", [](const std::string& key, const Json& value,
                      InferenceRequest& request) { request.generation.top_k = integer_of(key, value); }},
    Field{"top_p", [](const std::string& key, const Json& value,
                      InferenceRequest& request) { request.generation.top_p = number_of(key, value); }},
    Field{"repetition_penalty",
          [](const std::string& key, const Json& value, InferenceRequest& request) {
            request.generation.repetition_penalty = number_of(key, value);
          }},
    Field{"presence_penalty",
          [](const std::string& key, const Json& value,
             InferenceRequest& request) { request.generation.presence_penalty = number_of(key, value); }},
    Field{"seed", [](const std::string& key, const Json& value,
                     InferenceRequest& request) { request.generation.seed = unsigned_of(key, value); }},
    Field{"stop", [](const std::string& key, const Json& value,
                     InferenceRequest& request) { request.generation.stop = texts_of(key, value); }},
};

const Field& field_of(const std::string& key) {
  std::string names = "id, images, videos";
  for (const Field& field : kFields) {
    if (field.name == key) return field;
    (names += ", ") += field.name;
  }
  refuse(quoted(key) + ": unknown key, expected one of " + names);
}

void read_fields(const Json& json, const BatchDefaults& defaults, BatchRequest& out) {
  if (json.contains("id")) {
    const Json& id = json["id"];
    if (!id.is_string() && !id.is_number_integer() && !id.is_null()) {
      refuse("id: expected a text or an integer");
    }
    out.id = id;
  }
  if (json.contains("max_tokens") && json.contains("max_new_tokens")) {
    refuse("max_new_tokens: is another name of max_tokens, which is given too");
  }
  for (const auto& [key, value] : json.items()) {
    if (key == "id" || key == "images" || key == "videos") continue;
    const Field& field = field_of(key);
    if (!value.is_null()) field.read(key, value, out.request);
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
    read_fields(parse_object(line.text), defaults, out);
  } catch (const Error& error) {
    out.refusal = error;
  }
  return out;
}

}  // namespace qvl::cli
