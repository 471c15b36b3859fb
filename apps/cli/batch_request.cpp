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
  constexpr uint64_t kMost = 1 << 24;
  const uint64_t length = given.value.is_number_unsigned() ? given.value.get<uint64_t>() : 0;
  if (length < 1 || length > kMost) given.refuse_for("an integer from 1 to " + std::to_string(kMost));
  return static_cast<int64_t>(length);
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

RequestClass class_of(const Given& given) {
  return choice_of<RequestClass>(given, {{"interactive", RequestClass::interactive},
                                         {"normal", RequestClass::normal},
                                         {"background", RequestClass::background}});
}

VideoPrompt video_prompt_of(const Given& given) {
  return choice_of<VideoPrompt>(
      given, {{"timestamps", VideoPrompt::timestamps}, {"nested", VideoPrompt::nested_timestamps}});
}

// Puts what `kRead` makes of it into a member of the request, or of its generation.
template <auto kMember, auto kRead>
void put(const Given& given, InferenceRequest& request) {
  if constexpr (requires { request.*kMember; }) {
    request.*kMember = kRead(given);
  } else {
    request.generation.*kMember = kRead(given);
  }
}

using Request = InferenceRequest;
using Generation = GenerationOptions;

struct Field {
  std::string_view name;
  void (*read)(const Given& given, InferenceRequest& request);
};

// Everything but id and the lists of files.
constexpr std::array kFields = {
    Field{"prompt", put<&Request::prompt, text_of>},
    Field{"system", put<&Request::system, text_of>},
    Field{"class", put<&Request::request_class, class_of>},
    Field{"client", put<&Request::client, unsigned_of>},
    Field{"max_image_tokens", put<&Request::max_image_tokens, integer_of>},
    Field{"deadline_ms", put<&Request::deadline_ms, integer_of>},
    Field{"video_prompt", put<&Request::video_prompt, video_prompt_of>},
    Field{"max_tokens", put<&Generation::max_tokens, answer_length_of>},
    Field{"max_new_tokens", put<&Generation::max_tokens, answer_length_of>},
    Field{"temperature", put<&Generation::temperature, number_of>},
    Field{"top_k", put<&Generation::top_k, integer_of>},
    Field{"top_p", put<&Generation::top_p, number_of>},
    Field{"repetition_penalty", put<&Generation::repetition_penalty, number_of>},
    Field{"presence_penalty", put<&Generation::presence_penalty, number_of>},
    Field{"seed", put<&Generation::seed, unsigned_of>},
    Field{"stop", put<&Generation::stop, texts_of>},
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
