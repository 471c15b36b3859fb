// From rendered pieces to the sequence the network computes: placeholders expanded, the whole text tokenised
// at once.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pipeline/sequence.h"
#include "qvl/qvl.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace qvl {

namespace detail {
struct Runtime;
}

/// Raw text cut at its <|image_pad|> and <|video_pad|>.
std::vector<PromptPiece> split_raw_prompt(std::string_view text);

/// Pieces with the media written out: an image as its placeholders, a video as "<0.2
/// seconds><|vision_start|>", placeholders and "<|vision_end|>" for each temporal step, in place of the
/// template's pair of vision tokens or inside it. Only control and user_text are left. Throws Error{usage}
/// where there are more places than media.
struct PromptExpansion {
  const Media& media;
  int64_t merge = 2;
  VideoPrompt video_prompt = VideoPrompt::timestamps;
};
std::vector<PromptPiece> expand_media(const std::vector<PromptPiece>& pieces,
                                      const PromptExpansion& expansion);

/// Rendered pieces with the media written out, tokenised and placed. Throws as the two functions around it,
/// and Error{usage} where there is no tokenizer.
Sequence sequence_of(const std::vector<PromptPiece>& pieces, const Media& media, VideoPrompt video_prompt,
                     detail::Runtime& runtime);

/// The ids of expanded pieces. Throws Error{usage} "prompt: byte N: not valid UTF-8".
std::vector<int32_t> encode_pieces(const std::vector<PromptPiece>& pieces, const Tokenizer& tokenizer);

}  // namespace qvl
