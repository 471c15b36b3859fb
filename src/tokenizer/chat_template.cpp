#include "tokenizer/chat_template.h"

#include <algorithm>

#include "base/error.h"

namespace qvl {
namespace {

using PartKind = ContentPart::Kind;
using PieceKind = PromptPiece::Kind;

constexpr std::string_view kToolsBefore =
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>";
constexpr std::string_view kToolsAfter =
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    "<tool_call></tool_call> XML tags:\n<tool_call>\n"
    "{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n";

// Writes the pieces of one prompt in order.
class Renderer {
 public:
  explicit Renderer(const ChatOptions& options) : options_(options) {}

  // The system block stands before everything else: the first message's, and the tools.
  void system_block(const ChatMessage& first) {
    bool has_text = first.role == Role::system;
    if (!has_text && options_.tools_json.empty()) return;
    control("<|im_start|>system\n");
    if (has_text) text_parts(first);
    if (options_.tools_json.empty()) {
      control("<|im_end|>\n");
      return;
    }
    if (has_text) control("\n\n");
    control(kToolsBefore);
    for (const std::string& tool : options_.tools_json) {
      control("\n");
      user_text(tool);
    }
    control(kToolsAfter);
  }

  void user(const ChatMessage& message) {
    control("<|im_start|>user\n");
    all_parts(message);
    control("<|im_end|>\n");
  }

  void assistant(const ChatMessage& message) {
    control("<|im_start|>assistant\n");
    text_parts(message);
    bool separate = has_content(message);
    for (const ToolCall& call : message.tool_calls) {
      if (separate) control("\n");
      separate = true;
      control("<tool_call>\n{\"name\": \"");
      user_text(call.name);
      control("\", \"arguments\": ");
      user_text(call.arguments_json);
      control("}\n</tool_call>");
    }
    control("<|im_end|>\n");
  }

  // One of neighbouring tool results; they share a turn of the user.
  void tool_result(const ChatMessage& message) {
    control("\n<tool_response>\n");
    all_parts(message);
    control("\n</tool_response>");
  }

  void control(std::string_view text) { append(PieceKind::control, text); }

  std::vector<PromptPiece> finish() { return std::move(pieces_); }

 private:
  void user_text(std::string_view text) { append(PieceKind::user_text, text); }

  void append(PieceKind kind, std::string_view text) {
    if (text.empty()) return;
    if (pieces_.empty() || pieces_.back().kind != kind) pieces_.push_back({.kind = kind, .text = {}});
    pieces_.back().text += text;
  }

  void text_parts(const ChatMessage& message) {
    for (const ContentPart& part : message.content) {
      if (part.kind == PartKind::text) user_text(part.text);
    }
  }

  void all_parts(const ChatMessage& message) {
    for (const ContentPart& part : message.content) {
      switch (part.kind) {
        case PartKind::text:
          user_text(part.text);
          break;
        case PartKind::image:
          media(PieceKind::image, "Picture", ++images_);
          break;
        case PartKind::video:
          media(PieceKind::video, "Video", ++videos_);
          break;
      }
    }
  }

  void media(PieceKind kind, std::string_view name, int number) {
    if (options_.add_vision_id) control(fmt::format("{} {}: ", name, number));
    control("<|vision_start|>");
    pieces_.push_back({.kind = kind, .text = {}});
    control("<|vision_end|>");
  }

  static bool has_content(const ChatMessage& message) {
    return std::any_of(message.content.begin(), message.content.end(), [](const ContentPart& part) {
      return part.kind != PartKind::text || !part.text.empty();
    });
  }

  const ChatOptions& options_;
  std::vector<PromptPiece> pieces_;
  int images_ = 0;  // counted over the whole conversation
  int videos_ = 0;
};

}  // namespace

std::vector<PromptPiece> render_chat(const std::vector<ChatMessage>& messages, const ChatOptions& options) {
  if (messages.empty()) fail(ErrorCode::usage, "messages: found 0, expected at least 1");
  Renderer renderer(options);
  renderer.system_block(messages.front());
  auto is_tool = [&](size_t i) { return i < messages.size() && messages[i].role == Role::tool; };
  for (size_t i = 0; i < messages.size(); ++i) {
    switch (messages[i].role) {
      case Role::system:
        break;  // the first one is written already; the template ignores later ones
      case Role::user:
        renderer.user(messages[i]);
        break;
      case Role::assistant:
        renderer.assistant(messages[i]);
        break;
      case Role::tool:
        if (i == 0 || !is_tool(i - 1)) renderer.control("<|im_start|>user");
        renderer.tool_result(messages[i]);
        if (!is_tool(i + 1)) renderer.control("<|im_end|>\n");
        break;
    }
  }
  if (options.add_generation_prompt) renderer.control("<|im_start|>assistant\n");
  return renderer.finish();
}

}  // namespace qvl
