#include "pipeline/prompt.h"

#include <gtest/gtest.h>

#include "qvl/error.h"

namespace qvl {
namespace {

using Kind = PromptPiece::Kind;

std::shared_ptr<Medium> image() {
  auto medium = std::make_shared<Medium>();
  medium->grid = {.t = 1, .h = 2, .w = 4};
  return medium;
}

std::shared_ptr<Medium> video() {
  auto medium = std::make_shared<Medium>();
  medium->kind = Medium::Kind::video;
  medium->grid = {.t = 2, .h = 2, .w = 2};
  medium->step_times = {"<0.2 seconds>", "<1.2 seconds>"};
  return medium;
}

PromptPiece piece(Kind kind, std::string text = "") {
  PromptPiece piece;
  piece.kind = kind;
  piece.text = std::move(text);
  return piece;
}

std::string joined(const std::vector<PromptPiece>& pieces) {
  std::string text;
  for (const PromptPiece& piece : pieces) text += piece.text;
  return text;
}

std::string expanded(const std::vector<PromptPiece>& pieces, const Media& media,
                     VideoPrompt form = VideoPrompt::timestamps) {
  return joined(expand_media(pieces, {.media = media, .merge = 2, .video_prompt = form}));
}

const std::vector<PromptPiece> kVideoTurn = {piece(Kind::control, "user\n<|vision_start|>"),
                                             piece(Kind::video), piece(Kind::control, "<|vision_end|>"),
                                             piece(Kind::user_text, "Q")};
constexpr const char* kSteps =
    "<0.2 seconds><|vision_start|><|video_pad|><|vision_end|>"
    "<1.2 seconds><|vision_start|><|video_pad|><|vision_end|>";

TEST(ExpandMedia, RepeatsThePlaceholderOfAPicture) {
  EXPECT_EQ(expanded({piece(Kind::control, "a<|vision_start|>"), piece(Kind::image),
                      piece(Kind::control, "<|vision_end|>b")},
                     {image()}),
            "a<|vision_start|><|image_pad|><|image_pad|><|vision_end|>b");
}

TEST(ExpandMedia, PutsTimestampsInPlaceOfTheOuterPair) {
  EXPECT_EQ(expanded(kVideoTurn, {video()}), "user\n" + std::string(kSteps) + "Q");
}

TEST(ExpandMedia, PutsTimestampsInsideTheOuterPair) {
  EXPECT_EQ(expanded(kVideoTurn, {video()}, VideoPrompt::nested_timestamps),
            "user\n<|vision_start|>" + std::string(kSteps) + "<|vision_end|>Q");
}

TEST(ExpandMedia, TakesTheOuterPairOnlyAsAWhole) {
  EXPECT_EQ(
      expanded({piece(Kind::control, "<|vision_start|>"), piece(Kind::video), piece(Kind::control, "x")},
               {video()}),
      "<|vision_start|>" + std::string(kSteps) + "x");
  EXPECT_EQ(expanded({piece(Kind::control, "<|vision_start|>"), piece(Kind::video)}, {video()}),
            "<|vision_start|>" + std::string(kSteps));
}

TEST(ExpandMedia, TwoVideosInARowLoseBothPairs) {
  EXPECT_EQ(expanded({piece(Kind::control, "<|vision_start|>"), piece(Kind::video),
                      piece(Kind::control, "<|vision_end|><|vision_start|>"), piece(Kind::video),
                      piece(Kind::control, "<|vision_end|>")},
                     {video(), video()}),
            std::string(kSteps) + kSteps);
}

TEST(ExpandMedia, KeepsAUsersTextApart) {
  const auto pieces = expand_media({piece(Kind::user_text, "<|vision_end|>")}, {.media = {}});
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].kind, Kind::user_text);
}

TEST(ExpandMedia, RefusesMorePlacesThanMedia) {
  try {
    expanded({piece(Kind::image), piece(Kind::image)}, {image(), video()});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::usage);
    EXPECT_STREQ(error.what(), "prompt: more places for pictures than were given");
  }
}

TEST(SplitRawPrompt, CutsAtPlaceholders) {
  const auto pieces = split_raw_prompt("a<|image_pad|><|video_pad|>b");
  ASSERT_EQ(pieces.size(), 4u);
  EXPECT_EQ(pieces[0].text, "a");
  EXPECT_EQ(pieces[1].kind, Kind::image);
  EXPECT_EQ(pieces[2].kind, Kind::video);
  EXPECT_EQ(pieces[3].text, "b");
  EXPECT_TRUE(split_raw_prompt("").empty());
}

}  // namespace
}  // namespace qvl
