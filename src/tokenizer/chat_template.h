// The chat template of Qwen3-VL: messages to the text of the prompt, media as placeholders.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace qvl {

enum class Role { system, user, assistant, tool };

/// One item of a message, in order.
struct ContentPart {
  enum class Kind { text, image, video };
  Kind kind = Kind::text;
  std::string text;  ///< for Kind::text
};

struct ToolCall {
  std::string name;
  std::string arguments_json;  ///< written as given
};

struct ChatMessage {
  Role role = Role::user;
  std::vector<ContentPart> content;
  std::vector<ToolCall> tool_calls;  ///< assistant only
};

struct ChatOptions {
  std::vector<std::string> tools_json;  ///< one JSON object each, as the template prints them
  bool add_generation_prompt = true;
  bool add_vision_id = false;  ///< "Picture 1: " before each picture
};

/// A piece of the rendered prompt: text of the template (control tokens are real), text of a user (they are
/// not), or the place where a picture's or video's tokens go.
struct PromptPiece {
  enum class Kind { control, user_text, image, video };
  Kind kind = Kind::control;
  std::string text;  ///< for control and user_text; an image stands for its <|image_pad|>, a video for its
                     ///< <|video_pad|>
};

/// Renders the conversation. The concatenated text, with <|image_pad|> and <|video_pad|> for media, is
/// byte-identical to the published template's output. Adjacent pieces of equal kind may be joined.
std::vector<PromptPiece> render_chat(const std::vector<ChatMessage>& messages, const ChatOptions& options);

}  // namespace qvl
