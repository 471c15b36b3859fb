// A user's turn on its way into the prompt: its message, its pictures and videos.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "pipeline/runtime.h"
#include "pipeline/sequence.h"
#include "qvl/picture.h"
#include "qvl/qvl.h"
#include "tokenizer/chat_template.h"

namespace qvl {

/// Throws Error{usage} "NAME: byte N: not valid UTF-8".
void check_utf8(std::string_view name, std::string_view text);

/// A message of nothing but text; an empty text is no part.
ChatMessage text_message(Role role, std::string text);

/// Throws Error{usage} for a text that is no UTF-8, and for an empty one without media.
void check_user_message(std::string_view text, size_t media);

/// Pictures, then videos, then the text. Throws as check_user_message().
ChatMessage user_message(const Turn& turn);

/// The same of a turn that is known to be one, with so many pictures and videos.
ChatMessage user_message(std::string text, size_t images, size_t videos);

/// Pictures and videos of one request together.
constexpr size_t kMostMedia = 64;
/// The largest budget of tokens of a picture that is accepted.
constexpr int64_t kMostImageTokens = 1 << 24;
/// Throws Error{limit} where a request would hold more pictures and videos than allowed.
void check_media_count(size_t count);

/// Throws Error{usage} where it is no number of tokens. Whether a checkpoint can make pictures so small is
/// known when they are read.
void check_max_image_tokens(std::optional<int64_t> tokens);

/// The media of a request. Borrowed.
struct MediaSources {
  std::span<const Picture> images = {};
  std::span<const std::filesystem::path> videos = {};
  std::optional<int64_t> max_image_tokens = {};  ///< Turn::max_image_tokens
};
/// Reads them as far as the prompt needs, pictures first. Throws Error{limit} before a video
/// where the media before it leave no room, Error{usage} for a budget of tokens out of its range. Ends early
/// where `listeners.stop` asks for it.
Media read_media(const MediaSources& sources, detail::Runtime& runtime, const Listeners& listeners);
/// Those of `turn`.
Media read_media(const Turn& turn, detail::Runtime& runtime, const Listeners& listeners);

/// Finds features that are kept, cuts and encodes the media that have none then, adding to `timings`. False
/// where `listeners.stop` ended the work.
bool encode_media(const Media& media, detail::Runtime& runtime, const Listeners& listeners, Timings& timings);

}  // namespace qvl
