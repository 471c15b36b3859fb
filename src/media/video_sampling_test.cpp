#include "media/media_testing.h"
#include "media/video.h"

namespace qvl {
namespace {

using namespace qvl::testing;
using ::testing::ElementsAre;

TEST(VideoSampling, VectorsOfTheSpecification) {
  EXPECT_THAT(sample_frames(100, 25, {}), ElementsAre(0, 14, 28, 42, 57, 71, 85, 99));
  auto twenty = sample_frames(300, 30, {});
  EXPECT_EQ(twenty.size(), 20u);
  twenty.resize(9);
  EXPECT_THAT(twenty, ElementsAre(0, 16, 31, 47, 63, 79, 94, 110, 126));
  EXPECT_THAT(sample_frames(1, 25, {}), ElementsAre(0));
  EXPECT_THAT(sample_frames(3, 25, {}), ElementsAre(0, 1, 2));
  EXPECT_THAT(sample_frames(6, 30, {.min_frames = 3}), ElementsAre(0, 2, 5)) << "2.5 to even";
}

TEST(VideoSampling, EqualsTheReference) {
  Json golden = golden_values()["sampling"];
  ASSERT_EQ(golden.size(), 60u);
  for (const Json& row : golden) {
    std::string text;
    auto frames = sample_frames(row["total"], row["rate"], {.fps = row["fps"]});
    for (int64_t frame : frames) {
      if (!text.empty()) text += ',';
      text += std::to_string(frame);
    }
    EXPECT_EQ(frames.size(), row["count"].get<size_t>()) << row;
    EXPECT_EQ(hash_text(std::span<const char>(text)), row["hash"].get<std::string>()) << row;
  }
}

TEST(VideoSampling, ExtremesStayBounded) {
  EXPECT_EQ(sample_frames(100'000, 1e-9, {}).size(), 768u);
  EXPECT_EQ(sample_frames(100'000, 1e9, {}).size(), 4u);
  EXPECT_EQ(sample_frames(100'000, 25, {.fps = 1e300, .max_frames = 1}).size(), 1u);
  auto refusal = [](const VideoSampling& sampling) {
    return error_of([&] { sample_frames(10, 25, sampling); });
  };
  EXPECT_EQ(refusal({.fps = 0}), "2: video sampling: fps is 0, expected a number above 0");
  EXPECT_EQ(refusal({.fps = -1}), "2: video sampling: fps is -1, expected a number above 0");
  EXPECT_EQ(refusal({.fps = std::nan("")}), "2: video sampling: fps is nan, expected a number above 0");
  EXPECT_EQ(refusal({.min_frames = 0}), "2: video sampling: 0 to 768 frames, expected at least 1");
  EXPECT_EQ(refusal({.max_frames = -1}), "2: video sampling: 4 to -1 frames, expected at least 1");
}

TEST(VideoResize, VectorsOfTheSpecification) {
  PatchOptions options{.min_pixels = 4096, .max_pixels = 25'165'824};
  auto resized = [&](int64_t frames, int64_t height, int64_t width) {
    Size size = video_resize(frames, {.height = height, .width = width}, options, "x");
    return std::pair(size.height, size.width);
  };
  using Pair = std::pair<int64_t, int64_t>;
  EXPECT_EQ(resized(20, 720, 1280), Pair(704, 1280));
  EXPECT_EQ(resized(120, 1080, 1920), Pair(320, 608));
  EXPECT_EQ(resized(768, 360, 640), Pair(128, 224));
  EXPECT_EQ(resized(4, 480, 640), Pair(480, 640));
}

TEST(VideoResize, EqualsTheReference) {
  Json golden = golden_values()["video_resize"];
  ASSERT_EQ(golden.size(), 60u);
  PatchOptions options{.min_pixels = 4096, .max_pixels = 25'165'824};
  for (const Json& row : golden) {
    Size expected{.height = row[3], .width = row[4]};
    EXPECT_EQ(video_resize(row[0], {.height = row[1], .width = row[2]}, options, "x"), expected) << row;
  }
}

TEST(VideoResize, CountsTokensOfOneStep) {
  const auto at_most = [](int64_t tokens, int64_t frames) {
    const PatchOptions options{.min_pixels = 4096, .max_pixels = 25'165'824, .max_tokens = tokens};
    return video_resize(frames, {.height = 1080, .width = 1920}, options, "x");
  };
  EXPECT_EQ(at_most(100, 120), (Size{.height = 224, .width = 416}));
  EXPECT_EQ(at_most(190, 120), (Size{.height = 320, .width = 608}));  // as without a limit
  EXPECT_EQ(at_most(100, 2), (Size{.height = 224, .width = 416}));
  EXPECT_EQ(error_of([&] { at_most(1, 2); }),
            "2: x: max_image_tokens: found 1, expected 2 or more (min_pixels of the checkpoint is 4096)");
  EXPECT_EQ(at_most(1, 4), (Size{.height = 32, .width = 32}));
}

TEST(VideoResize, Refusals) {
  auto refusal = [](Size size) { return error_of([&] { video_resize(2, size, {}, "x"); }); };
  EXPECT_EQ(refusal({.height = 31, .width = 64}),
            "4: x: video of 64x31 pixels, expected at least 32 on each side");
  EXPECT_EQ(refusal({.height = 32, .width = 6432}),
            "4: x: 6432x32 pixels, one side at most 200 times the other allowed");
}

TEST(VideoTimestamps, MiddleOfEachPair) {
  const std::vector<int64_t> even = {0, 14, 28, 42};
  EXPECT_THAT(pair_timestamps(even, 25, 2), ElementsAre((0 + 14 / 25.0) / 2, (28 / 25.0 + 42 / 25.0) / 2));
  const std::vector<int64_t> odd = {0, 5, 10};
  EXPECT_THAT(pair_timestamps(odd, 10, 2), ElementsAre(0.25, 1.0)) << "the last frame fills its pair";
  EXPECT_TRUE(pair_timestamps({}, 25, 2).empty());
}

TEST(VideoTimestamps, TextRoundsExactHalvesToEven) {
  EXPECT_EQ(timestamp_text(0.25), "<0.2 seconds>");
  EXPECT_EQ(timestamp_text(0.75), "<0.8 seconds>");
  EXPECT_EQ(timestamp_text(0.35), "<0.3 seconds>") << "in binary a little less than a half";
  EXPECT_EQ(timestamp_text(0.15), "<0.1 seconds>");
  EXPECT_EQ(timestamp_text(1.25), "<1.2 seconds>");
  EXPECT_EQ(timestamp_text(0), "<0.0 seconds>");
  EXPECT_EQ(timestamp_text(3599.96), "<3600.0 seconds>");
}

}  // namespace
}  // namespace qvl
