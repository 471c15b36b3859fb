#include "session.h"

#include <filesystem>
#include <string_view>
#include <system_error>

#include "options.h"

namespace qvl::cli {
namespace {

void check_begun_so(const ConversationOptions& asked, const ConversationOptions& begun,
                    const std::string& file) {
  const auto refuse = [&](const std::string& option, const std::string& found, const std::string& expected) {
    throw Error(ErrorCode::usage,
                option + ": found " + found + ", expected " + expected + " of the conversation in " + file);
  };
  if (!asked.system.empty() && asked.system != begun.system) {
    refuse("--system", quoted(asked.system), quoted(begun.system));
  }
  if (asked.video_prompt == VideoPrompt::nested_timestamps && begun.video_prompt != asked.video_prompt) {
    refuse("--video-prompt", "nested", "timestamps");
  }
}

}  // namespace

CLI::Option* add_session(CLI::App& command, std::string& file) {
  return add_name(command, "--session", file, "FILE",
                  "keep the conversation in this file, and go on with the one that is there");
}

Conversation open_conversation(const Model& model, const std::string& file,
                               const ConversationOptions& options) {
  std::error_code unknown;
  const bool is_new =
      file.empty() || std::filesystem::status(file, unknown).type() == std::filesystem::file_type::not_found;
  if (is_new) {
    Conversation conversation(model, options);
    keep_conversation(conversation, file);
    return conversation;
  }
  Conversation conversation = model.resume(file);
  check_begun_so(options, conversation.options(), file);
  return conversation;
}

void keep_conversation(const Conversation& conversation, const std::string& file) {
  if (!file.empty()) conversation.save(file);
}

}  // namespace qvl::cli
