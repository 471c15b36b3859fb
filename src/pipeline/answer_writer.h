// An answer while it grows, token by token.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/runtime.h"
#include "pipeline/stop_filter.h"
#include "qvl/qvl.h"
#include "tokenizer/tokenizer.h"

namespace qvl {

/// Of as many tokens of an answer memory is set aside ahead; a longer one grows as it comes.
int64_t reserved_answer(const GenerationOptions& options);

/// Turns tokens into text, lets out complete characters before any stop string, and knows when it is over.
/// Thread-compatible; borrows the tokenizer.
class AnswerWriter {
 public:
  using Emit = std::function<void(std::string_view)>;

  /// For the answer to `prompt_tokens`. `emit`, which may be empty, is given the text as it comes.
  AnswerWriter(const GenerationOptions& options, int64_t prompt_tokens, const detail::Runtime& runtime,
               Emit emit);

  /// Takes one sampled token; false where it ended the answer.
  bool add(int32_t token);
  /// Ends the answer with what it has.
  void end(FinishReason reason);
  /// Tokens that the answer may have.
  int64_t room() const { return room_; }

  Answer answer;

 private:
  void let_out(std::string_view text);

  Emit emit_;
  std::vector<int32_t> ends_;
  std::optional<StreamDecoder> decoder_;  // none without a tokenizer: the answer has no text
  StopFilter filter_;
  int64_t room_;
};

}  // namespace qvl
