// A conversation that a file keeps between starts: --session.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "qvl/qvl.h"

namespace qvl::cli {

/// --session; `file` stays empty where it is not given.
CLI::Option* add_session(CLI::App& command, std::string& file);

/// The conversation in `file`, or a new one where there is none or no file is asked for. A new one is saved
/// at once, so that a place that cannot be written shows before anything is computed. Throws Error{usage}
/// where `options` ask for another system turn or form of videos than the conversation in the file has.
Conversation open_conversation(const Model& model, const std::string& file,
                               const ConversationOptions& options);

/// Where there is a file.
void keep_conversation(const Conversation& conversation, const std::string& file);

}  // namespace qvl::cli
