#include "pipeline/engine/request_prompt.h"

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "pipeline/check_range.h"
#include "pipeline/generation_options.h"
#include "pipeline/prompt.h"
#include "pipeline/turn.h"

namespace qvl {
namespace {

constexpr int64_t kMostDeadlineMs = std::numeric_limits<int32_t>::max();

Turn turn_of(const InferenceRequest& request) {
  return {.text = request.prompt,
          .images = request.images,
          .videos = request.videos,
          .max_image_tokens = request.max_image_tokens};
}

}  // namespace

void check_request(const InferenceRequest& request) {
  check_generation_options(request.generation);
  check_max_image_tokens(request.max_image_tokens);
  if (request.deadline_ms) check_range<int64_t>("deadline_ms", *request.deadline_ms, 1, kMostDeadlineMs);
  if (request.tensors) {
    if (!request.prompt.empty() || !request.images.empty() || !request.videos.empty() ||
        !request.system.empty()) {
      fail(ErrorCode::usage, "request: found tensors and a text or files, expected one of them");
    }
    if (request.max_image_tokens) {
      fail(ErrorCode::usage, "max_image_tokens: found {} beside tensors, whose pictures are cut already",
           *request.max_image_tokens);
    }
    return;
  }
  check_utf8("system", request.system);
  (void)user_message(turn_of(request));
  check_media_count(request.images.size() + request.videos.size());
}

RequestPrompt read_prompt(const InferenceRequest& request, detail::Runtime& runtime, std::stop_token stop) {
  (void)runtime.words();  // without a tokenizer nothing need be read
  const Turn turn = turn_of(request);
  RequestPrompt prompt;
  prompt.media = read_media(turn, runtime, {.text = {}, .progress = {}, .stop = std::move(stop)});
  if (prompt.media.size() < turn.images.size() + turn.videos.size()) return {};
  std::vector<ChatMessage> messages;
  if (!request.system.empty()) messages.push_back(text_message(Role::system, request.system));
  messages.push_back(user_message(turn));
  prompt.sequence = sequence_of(render_chat(messages, {}), prompt.media, request.video_prompt, runtime);
  return prompt;
}

}  // namespace qvl
