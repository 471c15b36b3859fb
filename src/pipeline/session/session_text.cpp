#include "pipeline/session/session_text.h"

#include <algorithm>
#include <array>
#include <optional>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "pipeline/turn.h"

namespace qvl {
namespace {

constexpr size_t kMostValues = 1 << 20;
constexpr int64_t kMostCuttingBytes = int64_t{1} << 40;
constexpr int64_t kMostMediaOfTurn = static_cast<int64_t>(kMostMedia);

// Names of an enumeration's values, in their order.
constexpr std::array<std::string_view, 2> kVideoPrompts = {"timestamps", "nested"};
constexpr std::array<std::string_view, 2> kMediumKinds = {"image", "video"};
constexpr std::array<std::string_view, 4> kRoles = {"system", "user", "assistant", "tool"};

template <typename Enum, size_t N>
std::string_view named(const std::array<std::string_view, N>& names, Enum value) {
  return names[static_cast<size_t>(value)];
}

template <typename Enum, size_t N>
Enum value_of(const JsonObject& object, std::string_view key, const std::array<std::string_view, N>& names) {
  const std::string found = object.string(key);
  const auto at = std::find(names.begin(), names.end(), found);
  if (at == names.end())
    object.refuse(key, fmt::format("found \"{}\", which there is not", printable(found)));
  return static_cast<Enum>(at - names.begin());
}

size_t count_of(const ChatMessage& message, ContentPart::Kind kind) {
  return static_cast<size_t>(std::count_if(message.content.begin(), message.content.end(),
                                           [&](const ContentPart& part) { return part.kind == kind; }));
}

std::string text_of(const ChatMessage& message) {
  std::string text;
  for (const ContentPart& part : message.content) text += part.text;
  return text;
}

Json json_of(const ChatMessage& message) {
  Json json = {{"role", named(kRoles, message.role)}, {"text", text_of(message)}};
  if (message.role == Role::user) {
    json["images"] = count_of(message, ContentPart::Kind::image);
    json["videos"] = count_of(message, ContentPart::Kind::video);
  }
  if (message.role == Role::assistant) {
    json["calls"] = Json::array();
    for (const ToolCall& call : message.tool_calls) {
      json["calls"].push_back({{"name", call.name}, {"arguments", call.arguments_json}});
    }
  }
  return json;
}

// From wherever the session is resumed, in case the file is to be looked at after all.
std::string stored_path(const std::filesystem::path& path) {
  std::error_code unknown;
  const auto absolute = std::filesystem::absolute(path, unknown);
  return unknown ? path.string() : absolute.string();
}

Json json_of(const Medium& medium) {
  Json out = {{"kind", named(kMediumKinds, medium.kind)},
              {"path", stored_path(medium.path)},
              {"contents", medium.key.text()},
              {"t", medium.grid.t},
              {"h", medium.grid.h},
              {"w", medium.grid.w},
              {"times", medium.step_times},
              {"cutting_bytes", medium.cutting_bytes}};
  if (medium.max_tokens) out["max_tokens"] = *medium.max_tokens;
  return out;
}

// Members of an object that are arrays, with the place of each entry for messages.
template <typename Take>
void each_of(const JsonObject& object, std::string_view key, Take&& take) {
  const Json& list = object.at(key);
  if (!list.is_array()) object.refuse(key, "expected an array");
  size_t index = 0;
  for (const Json& entry : list) take(entry, fmt::format("{}.{}", key, index++));
}

std::vector<std::string> strings_of(const JsonObject& object, std::string_view key) {
  std::vector<std::string> strings;
  each_of(object, key, [&](const Json& entry, const std::string& place) {
    if (!entry.is_string()) object.refuse(place, "expected a string");
    strings.push_back(entry.get<std::string>());
  });
  return strings;
}

// "<0.2 seconds>", as timestamp_text() writes it: it stands among control tokens.
bool is_timestamp(std::string_view text) {
  constexpr std::string_view kEnd = " seconds>", kDigits = "0123456789";
  if (!text.starts_with('<') || !text.ends_with(kEnd)) return false;
  const std::string_view number = text.substr(1, text.size() - 1 - kEnd.size());
  const size_t point = number.find_first_not_of(kDigits);
  return point != 0 && point != std::string_view::npos && point + 2 == number.size() &&
         number[point] == '.' && kDigits.find(number.back()) != std::string_view::npos;
}

class TurnsReader {
 public:
  TurnsReader(const Json& document, const JsonSource& source, const SessionModel& model)
      : root_(document, source), source_(source), model_(model) {}

  SessionTurns read() {
    check_computation();
    SessionTurns turns;
    turns.options = {.system = root_.string("system"),
                     .video_prompt = value_of<VideoPrompt>(root_, "video_prompt", kVideoPrompts),
                     .tools_json = strings_of(root_, "tools")};
    each_of(root_, "media", [&](const Json& entry, const std::string& place) {
      turns.media.push_back(medium(JsonObject(entry, source_, place)));
    });
    each_of(root_, "messages", [&](const Json& entry, const std::string& place) {
      turns.messages.push_back(message(JsonObject(entry, source_, place), turns.messages));
    });
    if (!turns.messages.empty() && turns.messages.back().role != Role::assistant) {
      root_.refuse("messages", "the last one is no answer");
    }
    check_media(turns);
    return turns;
  }

 private:
  void check_computation() const {
    const JsonObject found = root_.object("computation");
    for (const ComputationField& field : model_.computation) {
      const std::string value = found.string(field.name);
      if (value == field.value) continue;
      fail(ErrorCode::usage, "{}: {}: found {}, expected {} as the model was loaded", source_.name,
           field.name, printable(value), field.value);
    }
  }

  std::shared_ptr<Medium> medium(const JsonObject& json) {
    const VisionConfig& vision = model_.config.vision;
    if (!model_.config.has_vision) json.refuse("kind", "the model was loaded without its vision tower");
    const int64_t most = model_.config.text.max_position_embeddings, merge = vision.spatial_merge_size;
    auto medium = std::make_shared<Medium>();
    medium->kind = value_of<Medium::Kind>(json, "kind", kMediumKinds);
    medium->path = json.string("path");
    medium->name = path_name(medium->path);
    medium->grid = {.t = json.integer("t", 1, most),
                    .h = json.integer("h", merge, most * merge),
                    .w = json.integer("w", merge, most * merge)};
    const PatchGrid& grid = medium->grid;
    if (grid.h % merge != 0)
      json.refuse("h", fmt::format("found {}, expected a multiple of {}", grid.h, merge));
    if (grid.w % merge != 0)
      json.refuse("w", fmt::format("found {}, expected a multiple of {}", grid.w, merge));
    const auto key = key_from(json.string("contents"));
    if (!key) json.refuse("contents", "expected 32 hexadecimal digits");
    medium->key = *key;
    if (json.has("max_tokens")) medium->max_tokens = json.integer("max_tokens", 1, kMostImageTokens);
    medium->step_times = strings_of(json, "times");
    check_times(*medium, json);
    medium->cutting_bytes = static_cast<uint64_t>(json.integer("cutting_bytes", 0, kMostCuttingBytes));
    // Each factor is at most the context, or as many patches: no product wraps before it is compared.
    if (grid.h / merge > most / (grid.w / merge) ||
        grid.t > (most - media_tokens_) / grid.tokens_per_step(merge)) {
      json.refuse("t", fmt::format("more tokens than the {} the model takes", most));
    }
    media_tokens_ += medium->tokens(merge);
    return medium;
  }

  static void check_times(const Medium& medium, const JsonObject& json) {
    const auto expected = medium.kind == Medium::Kind::video ? medium.grid.t : 0;
    const auto& times = medium.step_times;
    if (std::ssize(times) != expected) {
      json.refuse("times", fmt::format("found {}, expected {}", times.size(), expected));
    }
    if (medium.kind == Medium::Kind::image && medium.grid.t != 1) json.refuse("t", "expected 1 of a picture");
    if (!std::all_of(times.begin(), times.end(), is_timestamp)) {
      json.refuse("times", "expected texts like <0.2 seconds>");
    }
  }

  static ChatMessage message(const JsonObject& json, const std::vector<ChatMessage>& before) {
    const auto role = value_of<Role>(json, "role", kRoles);
    const bool after_answer = before.empty() || before.back().role == Role::assistant;
    const bool is_next = role == Role::user        ? after_answer
                         : role == Role::assistant ? !after_answer
                         : role == Role::tool      ? !before.empty() && before.back().role != Role::user
                                                   : false;
    if (!is_next) json.refuse("role", fmt::format("found \"{}\" out of turn", named(kRoles, role)));
    if (role == Role::user) {
      return user_message(json.string("text"),
                          static_cast<size_t>(json.integer("images", 0, kMostMediaOfTurn)),
                          static_cast<size_t>(json.integer("videos", 0, kMostMediaOfTurn)));
    }
    ChatMessage message = text_message(role, json.string("text"));
    if (role == Role::assistant) message.tool_calls = calls_of(json);
    return message;
  }

  static std::vector<ToolCall> calls_of(const JsonObject& json) {
    std::vector<ToolCall> calls;
    each_of(json, "calls", [&](const Json& entry, const std::string& place) {
      if (!entry.is_object() || !entry.contains("name") || !entry.contains("arguments") ||
          !entry["name"].is_string() || !entry["arguments"].is_string()) {
        json.refuse(place, "expected a name and arguments");
      }
      calls.push_back({.name = entry["name"].get<std::string>(),
                       .arguments_json = entry["arguments"].get<std::string>()});
    });
    return calls;
  }

  // As many places as media, of each kind.
  void check_media(const SessionTurns& turns) const {
    if (turns.media.size() > kMostMedia) {
      root_.refuse("media", fmt::format("found {}, at most {} are allowed", turns.media.size(), kMostMedia));
    }
    for (const auto& [kind, part] : {std::pair(Medium::Kind::image, ContentPart::Kind::image),
                                     std::pair(Medium::Kind::video, ContentPart::Kind::video)}) {
      size_t places = 0;
      for (const ChatMessage& message : turns.messages) places += count_of(message, part);
      const auto given = std::count_if(turns.media.begin(), turns.media.end(),
                                       [kind = kind](const auto& medium) { return medium->kind == kind; });
      if (std::cmp_not_equal(given, places)) {
        root_.refuse("media", fmt::format("found {} of kind \"{}\", the messages have {} places", given,
                                          named(kMediumKinds, kind), places));
      }
    }
  }

  const JsonObject root_;
  const JsonSource& source_;
  const SessionModel& model_;
  int64_t media_tokens_ = 0;
};

}  // namespace

// A path that is no UTF-8 loses the bytes that are none: it serves messages, and to look again at a file.
std::string session_text(const SessionTurns& turns, std::span<const ComputationField> computation) {
  Json json = {{"system", turns.options.system},
               {"video_prompt", named(kVideoPrompts, turns.options.video_prompt)},
               {"tools", turns.options.tools_json},
               {"messages", Json::array()},
               {"media", Json::array()},
               {"computation", Json::object()}};
  for (const ChatMessage& message : turns.messages) json["messages"].push_back(json_of(message));
  for (const auto& medium : turns.media) json["media"].push_back(json_of(*medium));
  for (const ComputationField& field : computation) {
    json["computation"][std::string(field.name)] = field.value;
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

SessionTurns read_session_text(std::string_view text, const std::string& name, const SessionModel& model) {
  const JsonSource source{.name = name, .code = ErrorCode::usage, .max_values = kMostValues};
  Json document = parse_json(text, source);
  const EmptiedAtEnd emptied(document);
  return TurnsReader(document, source, model).read();
}

}  // namespace qvl
