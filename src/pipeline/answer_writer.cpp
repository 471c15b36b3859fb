#include "pipeline/answer_writer.h"

#include <algorithm>

namespace qvl {
namespace {

constexpr int64_t kReservedAnswer = 512;
constexpr size_t kBytesOfToken = 8;  // more than tokens of any language have on average

std::vector<int32_t> end_tokens(const detail::Runtime& runtime) {
  std::vector<int32_t> ends;
  for (int64_t id : runtime.files.generation.eos_token_ids) ends.push_back(static_cast<int32_t>(id));
  if (ends.empty() && runtime.tokenizer) ends.push_back(runtime.tokenizer->find_added("<|im_end|>").value());
  return ends;
}

}  // namespace

int64_t reserved_answer(const GenerationOptions& options) {
  return std::min(options.max_tokens, kReservedAnswer);
}

AnswerWriter::AnswerWriter(const GenerationOptions& options, int64_t prompt_tokens,
                           const detail::Runtime& runtime, Emit emit)
    : emit_(std::move(emit)),
      ends_(end_tokens(runtime)),
      filter_(options.stop),
      room_(std::min(options.max_tokens, runtime.files.config.text.max_position_embeddings - prompt_tokens)) {
  if (runtime.tokenizer) decoder_.emplace(*runtime.tokenizer);
  if (!runtime.tokenizer && !options.stop.empty()) (void)runtime.words();  // texts that end it need one
  const auto ahead = static_cast<size_t>(reserved_answer(options));
  answer.tokens.reserve(ahead);
  answer.text.reserve(ahead * kBytesOfToken);
}

bool AnswerWriter::add(int32_t token) {
  if (std::find(ends_.begin(), ends_.end(), token) != ends_.end()) {
    answer.end_token = token;
    end(FinishReason::stop);
    return false;
  }
  answer.tokens.push_back(token);
  if (decoder_) let_out(filter_.add(decoder_->add(token)));
  if (filter_.stopped()) {
    end(FinishReason::stop);
    return false;
  }
  if (std::ssize(answer.tokens) == room_) {
    end(FinishReason::length);
    return false;
  }
  return true;
}

void AnswerWriter::end(FinishReason reason) {
  if (decoder_) let_out(filter_.add(decoder_->finish()));
  let_out(filter_.finish());
  // The bytes that still waited may have completed a stop string.
  answer.finish_reason = filter_.stopped() ? FinishReason::stop : reason;
  answer.usage.completion_tokens = std::ssize(answer.tokens);
}

void AnswerWriter::let_out(std::string_view text) {
  answer.text += text;
  if (emit_ && !text.empty()) emit_(text);
}

}  // namespace qvl
