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

size_t media_count(const InferenceRequest& request) { return request.images.size() + request.videos.size(); }

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
  check_user_message(request.prompt, media_count(request));
  check_media_count(media_count(request));
}

RequestPrompt read_prompt(const InferenceRequest& request, detail::Runtime& runtime, std::stop_token stop) {
  (void)runtime.words();  // without a tokenizer nothing need be read
  RequestPrompt prompt;
  prompt.media = read_media(
      {.images = request.images, .videos = request.videos, .max_image_tokens = request.max_image_tokens},
      runtime, {.text = {}, .progress = {}, .stop = std::move(stop)});
  if (prompt.media.size() < media_count(request)) return {};
  std::vector<ChatMessage> messages;
  if (!request.system.empty()) messages.push_back(text_message(Role::system, request.system));
  messages.push_back(user_message(request.prompt, request.images.size(), request.videos.size()));
  prompt.sequence = sequence_of(render_chat(messages, {}), prompt.media, request.video_prompt, runtime);
  return prompt;
}

}  // namespace qvl
