// What a conversation is between two answers.
#pragma once

#include <vector>

#include "pipeline/prefill.h"
#include "pipeline/sequence.h"
#include "qvl/qvl.h"
#include "tokenizer/chat_template.h"

namespace qvl {
namespace detail {

/// Messages and media of the turns so far, and the keys and values computed for them. Thread-compatible.
struct ConversationState {
  /// Throws Error{usage} for options that are no UTF-8.
  ConversationState(Model loaded, ConversationOptions chosen);

  Model model;
  ConversationOptions options;
  std::vector<ChatMessage> messages;  ///< the system turn first, where there is one
  Media media;
  CachedSequence cached;  ///< a prefix of the rendered messages, and perhaps more
};

}  // namespace detail

/// The prompt of `messages` with `media` in the conversation of `state`, up to where the model is to answer.
Sequence render_prompt(const detail::ConversationState& state, const std::vector<ChatMessage>& messages,
                       const Media& media);

}  // namespace qvl
