#include "media/video.h"

#include <sys/resource.h>

#include "media/media_testing.h"
#include "media/video_stream.h"

namespace qvl {
namespace {

using namespace qvl::testing;
using namespace std::string_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const PatchOptions video_budget{.min_pixels = 4096, .max_pixels = 25'165'824};

// The formula of tools/make_media_fixtures.py.
Image made_frame(int64_t number) {
  Image image{.width = 64, .height = 32, .rgb = {}};
  for (int64_t y = 0; y < 32; ++y) {
    for (int64_t x = 0; x < 64; ++x) {
      for (int64_t value : {5 * x, 4 * y, x + y})
        image.rgb.push_back(static_cast<uint8_t>(16 * number + value));
    }
  }
  return image;
}

PatchedVideo read(const std::string& name, const VideoSampling& sampling = {}) {
  return read_video(fixture_path(name), {.patches = video_budget, .sampling = sampling});
}

std::vector<float> patches_of_frames(const std::vector<int64_t>& numbers) {
  std::vector<Image> frames;
  for (int64_t number : numbers) frames.push_back(made_frame(number));
  PatchedMedia media = frames_to_patches(frames, video_budget);
  return {media.pixels.values().begin(), media.pixels.values().end()};
}

std::vector<float> values_of(const PatchedVideo& video) {
  return {video.patches.pixels.values().begin(), video.patches.pixels.values().end()};
}

std::string verdict(const std::string& bytes, const VideoOptions& options) {
  return error_of([&] { decode_video(bytes_of(bytes), "x", options); });
}

std::string verdict(const std::string& bytes) { return verdict(bytes, {.patches = video_budget}); }

TEST(Video, SampledFramesOfALosslessMp4WithReordering) {
  // 11 frames at 4 per second: 5 are sampled, the last one fills its pair.
  PatchedVideo video = read("frames11.mp4");
  EXPECT_EQ(video.patches.grid, (PatchGrid{.t = 3, .h = 2, .w = 4}));
  EXPECT_EQ(values_of(video), patches_of_frames({0, 2, 5, 8, 10}));
  EXPECT_THAT(video.timestamps, ElementsAre(0.25, 1.625, 2.5));
}

TEST(Video, SampledFramesOfALosslessMatroska) {
  PatchedVideo video = read("frames8.mkv", {.fps = 4});
  EXPECT_EQ(values_of(video), patches_of_frames({0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_THAT(video.timestamps, ElementsAre(0.125, 0.625, 1.125, 1.625));
}

TEST(Video, ASingleFrameIsRepeated) {
  PatchedVideo video = read("frame1.mp4");
  EXPECT_EQ(values_of(video), patches_of_frames({0, 0}));
  EXPECT_THAT(video.timestamps, ElementsAre(0.0));
}

TEST(Video, FramesOutsideAnEditListDoNotCount) {
  // Cut at one second: 7 frames are shown, of more in the file.
  PatchedVideo video = read("cut.mp4", {.fps = 4});
  EXPECT_EQ(values_of(video), patches_of_frames({4, 5, 6, 7, 8, 9, 10}));
}

TEST(Video, RotationIsApplied) {
  Image upright = made_frame(0);
  std::string bytes = fixture("rotated.mp4");
  VideoSource source{bytes_of(bytes), "x", {}, std::chrono::steady_clock::time_point::max()};
  VideoStream stream(source);
  ASSERT_TRUE(stream.next_frame());
  Image turned = stream.image();
  ASSERT_EQ(turned.width, 32);
  ASSERT_EQ(turned.height, 64);
  // As the ffmpeg program shows it, a quarter turn counterclockwise: the top right comes to the top left.
  for (int c = 0; c < 3; ++c) EXPECT_EQ(turned.rgb[c], upright.rgb[63 * 3 + c]);
  for (int c = 0; c < 3; ++c) EXPECT_EQ(turned.rgb[63 * 32 * 3 + c], upright.rgb[c]);
}

class VideoColours : public ::testing::TestWithParam<const char*> {};

TEST_P(VideoColours, MatrixAndRangeAreObeyed) {
  std::string bytes = fixture(GetParam());
  VideoSource source{bytes_of(bytes), "x", {}, std::chrono::steady_clock::time_point::max()};
  VideoStream stream(source);
  ASSERT_TRUE(stream.next_frame());
  Image image = stream.image();
  for (size_t i = 0; i < image.rgb.size(); i += 3) {
    ASSERT_NEAR(image.rgb[i], 200, 3);
    ASSERT_NEAR(image.rgb[i + 1], 60, 3);
    ASSERT_NEAR(image.rgb[i + 2], 30, 3);
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, VideoColours,
                         ::testing::Values("solid_bt709_tv.mp4", "solid_bt601_tv.mp4", "solid_bt601_pc.mp4"));

struct Container {
  const char* name;
  int64_t frames;
};

class VideoContainers : public ::testing::TestWithParam<Container> {};

TEST_P(VideoContainers, GiveTheirFrames) {
  auto [name, frames] = GetParam();
  std::string bytes = fixture(name);
  VideoSource source{bytes_of(bytes), name, {}, std::chrono::steady_clock::time_point::max()};
  EXPECT_EQ(VideoStream(source).count_packets(), frames);
  VideoStream stream(source);
  for (int64_t number = 0; number < frames; ++number) {
    ASSERT_TRUE(stream.next_frame()) << number;
    // Lossy, and a sawtooth at that: the mean colour tells the frames apart.
    Image image = stream.image();
    Image expected = made_frame(number);
    double sum = 0;
    for (size_t i = 0; i < image.rgb.size(); ++i) sum += std::abs(image.rgb[i] - expected.rgb[i]);
    EXPECT_LT(sum / static_cast<double>(image.rgb.size()), 24) << name << " " << number;
  }
  EXPECT_FALSE(stream.next_frame());
}

INSTANTIATE_TEST_SUITE_P(Fixtures, VideoContainers,
                         ::testing::Values(Container{"motion_jpeg.avi", 3}, Container{"theora.ogv", 4},
                                           Container{"vp9.webm", 4}, Container{"sorenson.flv", 4},
                                           Container{"mpeg2.ts", 6}, Container{"frames11.mp4", 11}),
                         [](const auto& test) { return test_name(test.param.name); });

TEST(Video, AChangeOfResolutionKeepsTheFirstSize) {
  PatchedVideo video = read("changing.mpg", {.fps = 25});
  EXPECT_EQ(video.patches.grid, (PatchGrid{.t = 6, .h = 2, .w = 4}));
}

TEST(Video, DecoderThreadsDoNotChangeFrames) {
  PatchedVideo video =
      read_video(fixture_path("frames11.mp4"), {.patches = video_budget, .limits = {.decoder_threads = 3}});
  EXPECT_EQ(values_of(video), patches_of_frames({0, 2, 5, 8, 10}));
}

TEST(BadVideos, AreRefusedByName) {
  const std::string no_video =
      "4: x: damaged or not a supported video, expected MP4/MOV, Matroska/WebM, AVI, MPEG, FLV or Ogg";
  std::string mp4 = fixture("frames11.mp4");
  struct Row {
    const char* what;
    std::string bytes;
    std::string verdict;
  };
  const std::vector<Row> rows = {
      {"nothing", "", "4: x: empty, expected a video"},
      {"text", "hello", no_video},
      {"HLS playlist", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n", no_video},
      {"ffconcat", "ffconcat version 1.0\nfile /etc/passwd\n", no_video},
      {"DASH", "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\"></MPD>", no_video},
      {"SDP", "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 1 RTP/AVP 96\r\n", no_video},
      {"subtitles", "1\n00:00:01,000 --> 00:00:02,000\nhello\n", no_video},
      {"PNG", fixture("rgb8.png"), no_video},
      {"GIF", fixture("animated.gif"), no_video},
      {"MP4 without its index", mp4.substr(0, 2000), no_video},
      {"sound", fixture("audio_only.m4a"), "4: x: no video among its 1 streams"},
      {"cover", fixture("cover_only.m4a"), "4: x: no video among its 2 streams, only a cover picture"},
      {"codec", fixture("unsupported.avi"), "4: x: video codec cinepak is not supported"},
  };
  for (const Row& row : rows) EXPECT_EQ(verdict(row.bytes), row.verdict) << row.what;
}

TEST(BadVideos, Limits) {
  std::string mp4 = fixture("frames11.mp4");
  auto limited = [&](const VideoLimits& limits) {
    return verdict(mp4, {.patches = video_budget, .limits = limits});
  };
  EXPECT_EQ(limited({.max_file_bytes = 100}), fmt::format("5: x: {} bytes, at most 100 allowed", mp4.size()));
  EXPECT_EQ(limited({.max_frame_pixels = 2047}), "5: x: frames of 64x32 pixels, at most 2047 pixels allowed");
  EXPECT_EQ(limited({.max_frame_pixels = 2048}), "no error");
  EXPECT_EQ(limited({.max_frames_decoded = 10}), "5: x: more than 10 frames");
  EXPECT_EQ(limited({.max_frames_decoded = 11}), "no error");
  EXPECT_EQ(limited({.max_seconds_spent = 0}), "5: x: decoding took more than 0 seconds");
  EXPECT_EQ(limited({.max_seconds_spent = std::nan("")}), "5: x: decoding took more than 0 seconds");
  EXPECT_EQ(verdict(mp4, {.patches = video_budget, .sampling = {.fps = -1}}),
            "2: video sampling: fps is -1, expected a number above 0");
}

int64_t peak_mebibytes() {
  rusage usage{};
  EXPECT_EQ(::getrusage(RUSAGE_SELF, &usage), 0);
  return usage.ru_maxrss >> 10;
}

TEST(BadVideos, NothingIsDecodedBeforeItsSizeIsJudged) {
  // One frame of 15000x15000 pixels, 337 MB decoded, in 17 KB.
  const int64_t before = peak_mebibytes();
  EXPECT_EQ(verdict(fixture("huge_frame.webm")),
            "5: x: frames of 15000x15000 pixels, at most 16000000 pixels allowed");
  EXPECT_LT(peak_mebibytes() - before, 64);
}

TEST(BadVideos, DamageInsideAFrame) {
  std::string mp4 = fixture("frames11.mp4");
  size_t data = mp4.find("mdat");
  ASSERT_NE(data, std::string::npos);
  std::string damaged = mp4;
  for (size_t i = 0; i < 400; ++i) damaged[data + 2000 + i] = '\x5A';
  EXPECT_THAT(verdict(damaged), StartsWith("4: x: damaged "));
}

std::vector<std::string> open_files() {
  std::vector<std::string> targets;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    targets.push_back(std::filesystem::read_symlink(entry.path(), ignored).string());
  }
  return targets;
}

TEST(BadVideos, NoFileStaysOpen) {
  size_t before = open_files().size();
  read("frames11.mp4");
  verdict(fixture("cover_only.m4a"));
  EXPECT_EQ(open_files().size(), before);
}

const char* const damaged_fixtures[] = {"frame1.mp4",   "rotated.mp4", "vp9.webm",       "theora.ogv",
                                        "sorenson.flv", "mpeg2.ts",    "motion_jpeg.avi"};

class DamagedVideos : public ::testing::TestWithParam<const char*> {};

std::string outcome(const std::string& bytes) {
  std::string pixels;
  std::string error = error_of([&] {
    PatchedVideo video = decode_video(bytes_of(bytes), "x",
                                      {.patches = {.min_pixels = 4096, .max_pixels = 65'536},
                                       .limits = {.max_frame_pixels = 100'000, .max_frames_decoded = 100}});
    pixels = hash_text(std::span<const float>(video.patches.pixels.values()));
  });
  return error + pixels;
}

TEST_P(DamagedVideos, TruncatedOrFlippedAnywhere) {
  const std::string bytes = fixture(GetParam());
  for (size_t i = 0; i < bytes.size(); i += 13) {
    std::string cut = bytes.substr(0, i);
    EXPECT_EQ(outcome(cut), outcome(cut)) << "cut at " << i;
    std::string flipped = bytes;
    flipped[i] = static_cast<char>(flipped[i] ^ (1 << (i % 8)));
    EXPECT_EQ(outcome(flipped), outcome(flipped)) << "flipped at " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, DamagedVideos, ::testing::ValuesIn(damaged_fixtures),
                         [](const auto& test) { return test_name(test.param); });

}  // namespace
}  // namespace qvl
