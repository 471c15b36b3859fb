#include "pipeline/sequence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "qvl/error.h"

namespace qvl {
namespace {

constexpr int32_t kImage = 100, kVideo = 101;

ModelConfig config() {
  ModelConfig config;
  config.tokens = {.image = kImage, .video = kVideo, .vision_start = 102, .vision_end = 103};
  return config;
}

std::shared_ptr<Medium> medium(Medium::Kind kind, PatchGrid grid) {
  auto medium = std::make_shared<Medium>();
  medium->kind = kind;
  medium->name = kind == Medium::Kind::image ? "a.png" : "b.mp4";
  medium->grid = grid;
  return medium;
}

std::shared_ptr<Medium> image(int64_t h, int64_t w) {
  return medium(Medium::Kind::image, {.t = 1, .h = h, .w = w});
}

std::string refusal(std::vector<int32_t> ids, const Media& media) {
  try {
    place_media(std::move(ids), media, config());
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::usage);
    return error.what();
  }
  return "";
}

TEST(PlaceMedia, FindsPicturesAndStepsOfVideosInTheirOrder) {
  const auto picture = image(2, 4), clip = medium(Medium::Kind::video, {.t = 2, .h = 2, .w = 2});
  const Sequence sequence = place_media({1, kVideo, 2, kImage, kImage, kVideo, 3}, {picture, clip}, config());
  EXPECT_THAT(sequence.blocks,
              testing::ElementsAre(VisualBlock{.position = 1, .count = 1, .medium = clip, .first_row = 0},
                                   VisualBlock{.position = 3, .count = 2, .medium = picture, .first_row = 0},
                                   VisualBlock{.position = 5, .count = 1, .medium = clip, .first_row = 1}));
  EXPECT_EQ(sequence.visual_tokens(), 4);
}

TEST(PlaceMedia, TellsTwoPicturesApartThatStandSideBySide) {
  const auto first = image(2, 4), second = image(2, 2);
  const Sequence sequence = place_media({kImage, kImage, kImage}, {first, second}, config());
  ASSERT_EQ(sequence.blocks.size(), 2u);
  EXPECT_EQ(sequence.blocks[1].position, 2);
  EXPECT_EQ(sequence.blocks[1].medium, second);
}

TEST(PlaceMedia, LeavesPlaceholdersAloneWithoutMedia) {
  EXPECT_TRUE(place_media({kImage, 1}, {}, config()).blocks.empty());
}

TEST(PlaceMedia, RefusesCountsThatDiffer) {
  EXPECT_EQ(refusal({1, kImage, 2}, {image(2, 4)}), "prompt: 1 placeholders from token 1 on, a.png needs 2");
  EXPECT_EQ(refusal({kImage, kImage}, {image(2, 2)}),
            "prompt: token 1 is a placeholder (100), but no picture or video is left for it");
  EXPECT_EQ(refusal({1, 2}, {image(2, 2)}), "prompt: no placeholder is left for a.png");
  EXPECT_EQ(refusal({kVideo}, {image(2, 2)}),
            "prompt: token 0 is a placeholder (101), but no picture or video is left for it");
}

TEST(CommonPrefix, ComparesTokensAndPictures) {
  const auto first = image(2, 4), second = image(2, 4);
  const std::vector<int32_t> ids = {1, kImage, kImage, 2, 3};
  const Sequence a = place_media(ids, {first}, config());
  EXPECT_EQ(common_prefix(a, place_media({1, kImage, kImage, 2, 9, 9}, {first}, config())), 4);
  EXPECT_EQ(common_prefix(a, a), 5);
  EXPECT_EQ(common_prefix(a, place_media(ids, {second}, config())), 1);
  EXPECT_EQ(common_prefix(a, place_media(ids, {}, config())), 1);
  EXPECT_EQ(common_prefix(a, {}), 0);
}

TEST(CommonPrefix, KeepsABlockThatWasCut) {
  const auto picture = image(4, 4);
  const Sequence whole = place_media({1, kImage, kImage, kImage, kImage, 2}, {picture}, config());
  Sequence cut = whole;
  cut.truncate(3);
  EXPECT_EQ(cut.size(), 3);
  EXPECT_EQ(common_prefix(cut, whole), 3);
  cut.truncate(1);
  EXPECT_TRUE(cut.blocks.empty());
}

// The example of the model's documentation: two words, vision start, a 4 x 6 grid, vision end, three words.
TEST(Positions, SpreadOverAPictureAndGoOnBehindItsLongerSide) {
  const Sequence sequence = place_media(
      {1, 2, 102, kImage, kImage, kImage, kImage, kImage, kImage, 103, 3, 4, 5}, {image(4, 6)}, config());
  PositionCounter counter;
  std::vector<int32_t> t, h, w;
  for (const Position& p : positions_of(sequence, 2, counter)) {
    t.push_back(p.t);
    h.push_back(p.h);
    w.push_back(p.w);
  }
  EXPECT_THAT(t, testing::ElementsAre(0, 1, 2, 3, 3, 3, 3, 3, 3, 6, 7, 8, 9));
  EXPECT_THAT(h, testing::ElementsAre(0, 1, 2, 3, 3, 3, 4, 4, 4, 6, 7, 8, 9));
  EXPECT_THAT(w, testing::ElementsAre(0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7, 8, 9));
  EXPECT_EQ(counter.next(), 10);
}

}  // namespace
}  // namespace qvl
