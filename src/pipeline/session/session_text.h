// The turns of a session as JSON, and back with every value checked.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/cache/model_caches.h"
#include "pipeline/sequence.h"
#include "qvl/qvl.h"
#include "tokenizer/chat_template.h"

namespace qvl {

/// What is said in a conversation, without what was computed of it.
struct SessionTurns {
  ConversationOptions options = {};
  std::vector<ChatMessage> messages = {};  ///< behind the system turn
  Media media = {};                        ///< without pixels and features
};

std::string session_text(const SessionTurns& turns, std::span<const ComputationField> computation);

/// What a session must fit.
struct SessionModel {
  const ModelConfig& config;
  std::span<const ComputationField> computation;
};
/// Throws Error{usage} "NAME: PLACE: ..." for text that is no session's, and where it was written by a model
/// that computes otherwise.
SessionTurns read_session_text(std::string_view text, const std::string& name, const SessionModel& model);

}  // namespace qvl
