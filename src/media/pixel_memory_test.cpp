// What pictures take of the ledger while they are read and cut, against what their headers foretell.
#include <gtest/gtest.h>

#include <chrono>
#include <span>
#include <string>

#include "media/media_testing.h"
#include "media/video_stream.h"
#include "memory/memory_testing.h"

namespace qvl {
namespace {

using testing::error_of;
using testing::fixture_path;

// Small ones are enlarged and most is held with the patches; with few pixels allowed, while they are decoded.
const PatchOptions kEnlarged{.min_pixels = 65'536};
const PatchOptions kReduced{.patch_size = 2, .merge_size = 1, .min_pixels = 4, .max_pixels = 16};

struct Memory {
  CountedMemory system;
  Ledger ledger{uint64_t{64} << 20};
  TensorPool pool{ledger, system, 0};
  MemoryHome home{.pool = &pool, .part = MemoryPart::pixels};
};

// The most that reading and cutting held; `foretold` is what the header said.
uint64_t peak_of(const std::string& name, const PatchOptions& options, uint64_t& foretold) {
  Memory memory;
  const auto path = fixture_path(name);
  const ImageHeader header = read_image_header(path, {}, memory.home);
  foretold = pixel_bytes(header, smart_resize(header.size, options, name), options);
  image_to_patches(read_image(path, {}, memory.home), options, name);
  EXPECT_EQ(memory.ledger.report().held_bytes, 0u) << name;
  return memory.ledger.report().peak_bytes;
}

TEST(PixelMemory, is_foretold_exactly_by_the_header) {
  for (const char* name : {"rgb8.png", "grey8.png", "palette4.png", "progressive.jpg", "grey_progressive.jpg",
                           "sub420.jpg", "lossless.webp", "lossy.webp", "plain.gif"}) {
    uint64_t foretold = 0;
    EXPECT_EQ(peak_of(name, kEnlarged, foretold), foretold) << name;
    EXPECT_EQ(peak_of(name, kReduced, foretold), foretold) << name;
  }
}

TEST(PixelMemory, is_never_more_than_foretold_however_the_picture_lies) {
  for (const char* name :
       {"rgb8.png", "grey1.png", "palette8.png", "progressive422.jpg", "exif1.jpg", "exif3.jpg", "exif6.jpg",
        "exif6.png", "exif8.webp", "lossless_alpha.webp", "moved.gif"}) {
    for (const PatchOptions& options : {kEnlarged, kReduced}) {
      uint64_t foretold = 0;
      const uint64_t peak = peak_of(name, options, foretold);
      EXPECT_LE(peak, foretold) << name;
      EXPECT_GT(peak, foretold / 3) << name;
    }
  }
}

TEST(PixelMemory, of_libraries_is_set_down_while_they_decode) {
  const auto decoder_bytes = [](const char* name) {
    return read_image_header(fixture_path(name), {}).decoder_bytes;
  };
  EXPECT_EQ(decoder_bytes("rgb.jpg"), 0u);
  EXPECT_EQ(decoder_bytes("plain.gif"), 0u);
  EXPECT_EQ(decoder_bytes("lossy.webp"), 0u);
  const Size grey = read_image_header(fixture_path("grey_progressive.jpg"), {}).size;
  const auto blocks = static_cast<uint64_t>((grey.width + 7) / 8 * ((grey.height + 7) / 8));
  EXPECT_EQ(decoder_bytes("grey_progressive.jpg"), blocks * 128);
  const Size lossless = read_image_header(fixture_path("lossless.webp"), {}).size;
  EXPECT_EQ(decoder_bytes("lossless.webp"), static_cast<uint64_t>(lossless.width * lossless.height) * 4);
}

TEST(PixelMemory, of_a_video_decoders_frames_is_set_down_while_it_is_there) {
  for (const char* name : {"frames11.mp4", "vp9.webm", "theora.ogv", "mpeg2.ts"}) {
    Memory memory;
    const std::string file = testing::fixture(name);
    const VideoSource source{.bytes = std::as_bytes(std::span(file)),
                             .name = name,
                             .limits = {},
                             .deadline = std::chrono::steady_clock::time_point::max(),
                             .memory = memory.home};
    {
      VideoStream stream(source);
      const uint64_t open = memory.ledger.report().held_bytes;
      EXPECT_EQ(open, 5u << 20) << name;
      ASSERT_TRUE(stream.next_frame()) << name;
      const Image image = stream.image();
      const auto pixels = static_cast<uint64_t>(image.width * image.height);
      const uint64_t taken = MemoryHome::taken_bytes(image.rgb.size());
      const uint64_t first = memory.ledger.report().held_bytes - taken - open;
      EXPECT_GE(first, pixels * 3 / 2) << name;
      while (stream.next_frame()) {
      }
      const uint64_t all = memory.ledger.report().held_bytes - taken - open;
      EXPECT_GE(all, first) << name;
      EXPECT_LT(all, 18 * first) << name;  // not one of each frame: as many as are there at once
    }
    EXPECT_EQ(memory.ledger.report().held_bytes, 0u) << name;
  }
}

TEST(PixelMemory, that_a_video_decoder_does_not_get_is_an_error_that_names_the_video) {
  Memory memory;
  memory.ledger.set_cap(100);
  const std::string file = testing::fixture("frames11.mp4");
  const std::string problem =
      error_of([&] { decode_video(std::as_bytes(std::span(file)), "v.mp4", {.memory = memory.home}); });
  EXPECT_TRUE(problem.starts_with("5: v.mp4: not enough memory for pixels ")) << problem;
  EXPECT_EQ(memory.ledger.report().held_bytes, 0u);
}

TEST(PixelMemory, that_is_missing_is_an_error_that_names_the_picture) {
  Memory memory;
  memory.ledger.set_cap(100);
  const auto path = fixture_path("rgb8.png");
  const std::string problem = error_of([&] { read_image(path, {}, memory.home); });
  EXPECT_TRUE(problem.starts_with("5: " + path.string() + ": not enough memory for pixels ")) << problem;
  memory.ledger.set_cap(std::filesystem::file_size(path));
  EXPECT_EQ(error_of([&] { read_image(path, {}, memory.home); }).substr(0, problem.find("pixels")),
            problem.substr(0, problem.find("pixels")));
  EXPECT_EQ(memory.ledger.report().held_bytes, 0u);
}

}  // namespace
}  // namespace qvl
