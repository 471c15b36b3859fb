#include "pipeline/tool_calls.h"

#include <gtest/gtest.h>

namespace qvl {
namespace {

// What the chat template writes for the content and the calls of a message.
std::string rendered(const ChatMessage& message) {
  std::string text;
  for (const ContentPart& part : message.content) text += part.text;
  for (size_t i = 0; i < message.tool_calls.size(); ++i) {
    if (i != 0 || !text.empty()) text += '\n';
    const ToolCall& call = message.tool_calls[i];
    text += "<tool_call>\n{\"name\": \"" + call.name + "\", \"arguments\": " + call.arguments_json +
            "}\n</tool_call>";
  }
  return text;
}

TEST(AssistantMessage, FindsCallsAndKeepsTheirArgumentsAsWritten) {
  const std::string text =
      "Let me see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\":  "
      "\"Köln\"}}\n</tool_call>\n"
      "<tool_call>\n{\"name\": \"time\", \"arguments\": {}}\n</tool_call>";
  const ChatMessage message = assistant_message(text);
  ASSERT_EQ(message.tool_calls.size(), 2u);
  EXPECT_EQ(message.tool_calls[0].name, "weather");
  EXPECT_EQ(message.tool_calls[0].arguments_json, "{\"city\":  \"Köln\"}");
  EXPECT_EQ(message.tool_calls[1].name, "time");
  ASSERT_EQ(message.content.size(), 1u);
  EXPECT_EQ(message.content[0].text, "Let me see.");
  EXPECT_EQ(rendered(message), text);
}

TEST(AssistantMessage, KeepsATextThatTheTemplateWouldNotWriteBack) {
  for (const std::string text :
       {"plain", "", "<tool_call>\n{\"name\": \"f\"}\n</tool_call>", "<tool_call>\nnot json\n</tool_call>",
        "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call> and more",
        "\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>",
        "x<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>",
        "<tool_call>\n{\"name\": \"f\", \"arguments\": {}, \"more\": 1}\n</tool_call>",
        "<tool_call>\n{\"name\": \"f\", \"arguments\": {}"}) {
    const ChatMessage message = assistant_message(text);
    EXPECT_TRUE(message.tool_calls.empty()) << text;
    EXPECT_EQ(rendered(message), text);
  }
}

}  // namespace
}  // namespace qvl
