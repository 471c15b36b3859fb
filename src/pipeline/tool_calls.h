// Calls of tools in the text of an answer, so that the next prompt writes them as the chat template does.
#pragma once

#include <string_view>

#include "tokenizer/chat_template.h"

namespace qvl {

/// The message of an assistant that said `text`. Calls that the template would write back exactly as they
/// stand become tool calls; a text with any other is kept whole as content.
ChatMessage assistant_message(std::string_view text);

}  // namespace qvl
