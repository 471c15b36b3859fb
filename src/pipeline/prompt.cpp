#include "pipeline/prompt.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "pipeline/runtime.h"

namespace qvl {
namespace {

constexpr std::string_view kImagePad = "<|image_pad|>", kVideoPad = "<|video_pad|>";
constexpr std::string_view kVisionStart = "<|vision_start|>", kVisionEnd = "<|vision_end|>";

std::string repeated(std::string_view text, int64_t times) {
  std::string out;
  out.reserve(text.size() * static_cast<size_t>(times));
  for (int64_t i = 0; i < times; ++i) out += text;
  return out;
}

std::string video_text(const Medium& medium, int64_t merge) {
  const std::string pads = repeated(kVideoPad, medium.grid.tokens_per_step(merge));
  std::string out;
  for (const std::string& time : medium.step_times) {
    out += time;
    out += kVisionStart;
    out += pads;
    out += kVisionEnd;
  }
  return out;
}

class Expander {
 public:
  explicit Expander(const PromptExpansion& expansion) : expansion_(expansion) {}

  std::vector<PromptPiece> run(const std::vector<PromptPiece>& pieces) {
    for (const PromptPiece& piece : pieces) add(piece);
    return std::move(out_);
  }

 private:
  void add(const PromptPiece& piece) {
    if (piece.kind != PromptPiece::Kind::control) pair_open_.reset();
    switch (piece.kind) {
      case PromptPiece::Kind::user_text:
        out_.push_back(piece);
        break;
      case PromptPiece::Kind::control:
        add_control(piece.text);
        break;
      case PromptPiece::Kind::image:
        out_.push_back(control(repeated(
            kImagePad, next(Medium::Kind::image, next_image_).grid.tokens_per_step(expansion_.merge))));
        break;
      case PromptPiece::Kind::video:
        add_video(next(Medium::Kind::video, next_video_));
        break;
    }
  }

  void add_control(std::string_view text) {
    if (pair_open_ && text.starts_with(kVisionEnd)) {
      out_[*pair_open_].text.resize(out_[*pair_open_].text.size() - kVisionStart.size());
      text.remove_prefix(kVisionEnd.size());
    }
    pair_open_.reset();
    out_.push_back(control(std::string(text)));
  }

  void add_video(const Medium& medium) {
    const bool open = !out_.empty() && out_.back().kind == PromptPiece::Kind::control &&
                      out_.back().text.ends_with(kVisionStart);
    // The pair around the placeholder goes only as a whole: its end comes with the next piece.
    if (open && expansion_.video_prompt == VideoPrompt::timestamps) pair_open_ = out_.size() - 1;
    out_.push_back(control(video_text(medium, expansion_.merge)));
  }

  const Medium& next(Medium::Kind kind, size_t& cursor) {
    while (cursor < expansion_.media.size() && expansion_.media[cursor]->kind != kind) ++cursor;
    if (cursor == expansion_.media.size()) {
      fail(ErrorCode::usage, "prompt: more places for {} than were given",
           kind == Medium::Kind::image ? "pictures" : "videos");
    }
    return *expansion_.media[cursor++];
  }

  static PromptPiece control(std::string text) {
    return {.kind = PromptPiece::Kind::control, .text = std::move(text)};
  }

  const PromptExpansion& expansion_;
  std::vector<PromptPiece> out_;
  size_t next_image_ = 0, next_video_ = 0;
  std::optional<size_t> pair_open_;  // the piece that ends in the start token of a video's outer pair
};

}  // namespace

std::vector<PromptPiece> split_raw_prompt(std::string_view text) {
  std::vector<PromptPiece> pieces;
  while (!text.empty()) {
    const size_t image = text.find(kImagePad), video = text.find(kVideoPad);
    const size_t place = std::min(image, video);
    if (place != 0) {
      pieces.push_back({.kind = PromptPiece::Kind::control, .text = std::string(text.substr(0, place))});
    }
    if (place == std::string_view::npos) break;
    pieces.push_back(
        {.kind = image < video ? PromptPiece::Kind::image : PromptPiece::Kind::video, .text = ""});
    text.remove_prefix(place + (image < video ? kImagePad : kVideoPad).size());
  }
  return pieces;
}

std::vector<PromptPiece> expand_media(const std::vector<PromptPiece>& pieces,
                                      const PromptExpansion& expansion) {
  return Expander(expansion).run(pieces);
}

Sequence sequence_of(const std::vector<PromptPiece>& pieces, const Media& media, VideoPrompt video_prompt,
                     detail::Runtime& runtime) {
  const ModelConfig& config = runtime.files.config;
  const auto expanded = expand_media(
      pieces, {.media = media, .merge = config.vision.spatial_merge_size, .video_prompt = video_prompt});
  const Tokenizer& words = runtime.words();
  std::vector<int32_t> ids;
  {
    const StageZone zone = runtime.layer.zone(Stage::tokenise);
    ids = encode_pieces(expanded, words);
  }
  return place_media(std::move(ids), media, config);
}

std::vector<int32_t> encode_pieces(const std::vector<PromptPiece>& pieces, const Tokenizer& tokenizer) {
  std::vector<Tokenizer::Piece> parts;
  parts.reserve(pieces.size());
  for (const PromptPiece& piece : pieces) {
    QVL_CHECK(piece.kind == PromptPiece::Kind::control || piece.kind == PromptPiece::Kind::user_text);
    const bool trusted = piece.kind == PromptPiece::Kind::control;
    parts.push_back(
        {.text = piece.text, .control = trusted ? ControlTokens::parse : ControlTokens::plain_text});
  }
  try {
    return tokenizer.encode(parts);
  } catch (const Error& error) {
    fail(error.code(), "prompt: {}", error.what());
  }
}

}  // namespace qvl
