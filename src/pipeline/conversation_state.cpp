#include "pipeline/conversation_state.h"

#include <utility>

#include "pipeline/prompt.h"
#include "pipeline/turn.h"

namespace qvl {

detail::ConversationState::ConversationState(Model loaded, ConversationOptions chosen)
    : model(std::move(loaded)), options(std::move(chosen)), cached(model.runtime()) {
  check_utf8("system", options.system);
  for (const std::string& tool : options.tools_json) check_utf8("tools", tool);
  if (!options.system.empty()) messages.push_back(text_message(Role::system, options.system));
}

Sequence render_prompt(const detail::ConversationState& state, const std::vector<ChatMessage>& messages,
                       const Media& media) {
  return sequence_of(render_chat(messages, {.tools_json = state.options.tools_json}), media,
                     state.options.video_prompt, state.model.runtime());
}

}  // namespace qvl
