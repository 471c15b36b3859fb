#include "pipeline/tool_calls.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "pipeline/turn.h"

namespace qvl {
namespace {

constexpr std::string_view kOpen = "<tool_call>\n", kClose = "\n</tool_call>";
constexpr std::string_view kBeforeName = "{\"name\": \"", kBeforeArguments = "\", \"arguments\": ";

bool is_json(std::string_view text) {
  try {
    (void)parse_json(text, {.name = "tool call", .code = ErrorCode::usage});
    return true;
  } catch (const Error&) {
    return false;
  }
}

// {"name": "NAME", "arguments": ARGUMENTS}, as the template writes it.
std::optional<ToolCall> parse_call(std::string_view text) {
  if (!text.starts_with(kBeforeName) || !text.ends_with('}') || !is_json(text)) return std::nullopt;
  const std::string_view body = text.substr(kBeforeName.size(), text.size() - kBeforeName.size() - 1);
  const size_t name_end = body.find('"');
  if (name_end == std::string_view::npos || !body.substr(name_end).starts_with(kBeforeArguments))
    return std::nullopt;
  const std::string_view arguments = body.substr(name_end + kBeforeArguments.size());
  if (!is_json(arguments)) return std::nullopt;
  return ToolCall{.name = std::string(body.substr(0, name_end)), .arguments_json = std::string(arguments)};
}

// Calls to the end of the text, a line break between them.
std::optional<std::vector<ToolCall>> parse_calls(std::string_view text) {
  std::vector<ToolCall> calls;
  for (;;) {
    if (!text.starts_with(kOpen)) return std::nullopt;
    text.remove_prefix(kOpen.size());
    const size_t close = text.find(kClose);
    if (close == std::string_view::npos) return std::nullopt;
    auto call = parse_call(text.substr(0, close));
    if (!call) return std::nullopt;
    calls.push_back(std::move(*call));
    text.remove_prefix(close + kClose.size());
    if (text.empty()) return calls;
    if (!text.starts_with('\n')) return std::nullopt;
    text.remove_prefix(1);
  }
}

}  // namespace

ChatMessage assistant_message(std::string_view text) {
  const size_t first = text.find(kOpen);
  std::vector<ToolCall> calls;
  if (first == 0 || (first != std::string_view::npos && first > 1 && text[first - 1] == '\n')) {
    if (auto parsed = parse_calls(text.substr(first))) {
      calls = std::move(*parsed);
      text = text.substr(0, first == 0 ? 0 : first - 1);
    }
  }
  ChatMessage message = text_message(Role::assistant, std::string(text));
  message.tool_calls = std::move(calls);
  return message;
}

}  // namespace qvl
