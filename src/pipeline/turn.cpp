#include "pipeline/turn.h"

#include <utility>
#include <vector>

#include "base/error.h"
#include "pipeline/check_range.h"
#include "pipeline/stopwatch.h"
#include "tokenizer/utf8.h"

namespace qvl {
namespace {

void report(const Listeners& listeners, std::string_view stage, double fraction) {
  if (listeners.progress) listeners.progress({.stage = stage, .fraction = fraction});
}

ContentPart medium_part(ContentPart::Kind kind) {
  ContentPart part;
  part.kind = kind;
  return part;
}

// Pictures are counted by their headers, with the exact number of all tokens in the refusal. A video is
// decoded to be counted: none is where those before it take the whole context.
void check_room_for_video(const Media& before, const detail::Runtime& runtime) {
  const ModelConfig& config = runtime.files.config;
  int64_t tokens = 0;
  for (const auto& medium : before) {
    tokens += medium->grid.t * medium->grid.tokens_per_step(config.vision.spatial_merge_size);
  }
  if (tokens < config.text.max_position_embeddings) return;
  fail(ErrorCode::limit, "prompt: {} tokens of pictures and videos up to {}; the model takes {}", tokens,
       before.back()->name, config.text.max_position_embeddings);
}

Medium read_medium(const MediaSources& sources, size_t index, detail::Runtime& runtime) {
  const size_t images = sources.images.size();
  if (index < images) return read_image_medium(sources.images[index], sources.max_image_tokens, runtime);
  return read_video_medium(sources.videos[index - images], sources.max_image_tokens, runtime);
}

}  // namespace

void check_utf8(std::string_view name, std::string_view text) {
  if (const auto invalid = find_invalid_utf8(text)) {
    fail(ErrorCode::usage, "{}: byte {}: not valid UTF-8", name, *invalid);
  }
}

ChatMessage text_message(Role role, std::string text) {
  ChatMessage message;
  message.role = role;
  if (!text.empty()) message.content.push_back({.kind = ContentPart::Kind::text, .text = std::move(text)});
  return message;
}

void check_user_message(std::string_view text, size_t media) {
  if (text.empty() && media == 0) {
    fail(ErrorCode::usage, "prompt: it is empty, expected a text, a picture or a video");
  }
  check_utf8("prompt", text);
}

ChatMessage user_message(const Turn& turn) {
  check_user_message(turn.text, turn.images.size() + turn.videos.size());
  return user_message(turn.text, turn.images.size(), turn.videos.size());
}

ChatMessage user_message(std::string text, size_t images, size_t videos) {
  ChatMessage message = text_message(Role::user, std::move(text));
  auto& content = message.content;
  content.insert(content.begin(), videos, medium_part(ContentPart::Kind::video));
  content.insert(content.begin(), images, medium_part(ContentPart::Kind::image));
  return message;
}

void check_media_count(size_t count) {
  if (count > kMostMedia)
    fail(ErrorCode::limit, "{} pictures and videos, at most {} are allowed", count, kMostMedia);
}

void check_max_image_tokens(std::optional<int64_t> tokens) {
  if (tokens) check_range<int64_t>("max_image_tokens", *tokens, 1, kMostImageTokens);
}

Media read_media(const MediaSources& sources, detail::Runtime& runtime, const Listeners& listeners) {
  check_max_image_tokens(sources.max_image_tokens);
  const size_t count = sources.images.size() + sources.videos.size();
  check_media_count(count);
  Media media;
  for (size_t i = 0; i < count && !listeners.stop.stop_requested(); ++i) {
    report(listeners, "preprocess", static_cast<double>(i) / static_cast<double>(count));
    if (i >= sources.images.size()) check_room_for_video(media, runtime);
    media.push_back(std::make_shared<Medium>(read_medium(sources, i, runtime)));
  }
  return media;
}

Media read_media(const Turn& turn, detail::Runtime& runtime, const Listeners& listeners) {
  const std::vector<Picture> images(turn.images.begin(), turn.images.end());
  return read_media({.images = images, .videos = turn.videos, .max_image_tokens = turn.max_image_tokens},
                    runtime, listeners);
}

bool encode_media(const Media& media, detail::Runtime& runtime, const Listeners& listeners,
                  Timings& timings) {
  double patches = 0, done = 0;
  for (const auto& medium : media) find_features(*medium, runtime);
  for (const auto& medium : media) {
    if (!medium->features) patches += static_cast<double>(medium->grid.patches());
  }
  // One decoded picture at a time: it is cut, encoded and gone before the next one is decoded.
  for (const auto& medium : media) {
    if (medium->features) continue;
    const auto share = static_cast<double>(medium->grid.patches());
    const auto progress = [&](double fraction) {
      report(listeners, "vision", (done + fraction * share) / patches);
      return !listeners.stop.stop_requested();
    };
    const Stopwatch cutting;
    cut_patches(*medium, runtime);
    timings.preprocess_s += cutting.seconds();
    report(listeners, "vision", done / patches);
    const Stopwatch looking;
    const bool complete = encode_medium(*medium, runtime, progress);
    timings.vision_s += looking.seconds();
    if (!complete) return false;
    done += share;
  }
  return true;
}

}  // namespace qvl
