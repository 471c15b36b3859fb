// A conversation as a file: what is written of it, and what it goes on with.
#pragma once

#include <filesystem>
#include <memory>

#include "pipeline/conversation_state.h"

namespace qvl {

/// Puts the conversation at `path`. Throws Error{environment} "PATH: cannot write: cause", Error{limit} where
/// its texts are longer than a reader takes.
void save_session(const detail::ConversationState& state, const std::filesystem::path& path);

/// The conversation at `path`, for `model` to go on with. Nothing of the file is trusted, and nothing is
/// allocated before it is known to fit. Throws Error{usage} for a file that is damaged or fits another model,
/// Error{limit} for one there is no memory for.
std::unique_ptr<detail::ConversationState> resume_session(const Model& model,
                                                          const std::filesystem::path& path);

}  // namespace qvl
