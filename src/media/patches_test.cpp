#include "media/image.h"
#include "media/media_testing.h"

namespace qvl {
namespace {

using namespace qvl::testing;

// Which frame, channel and pixel a value of the patches comes from, by dividing its position; no loops shared
// with the code under test.
float naive_value(std::span<const Image> frames, const PatchOptions& options, uint64_t row, uint64_t column) {
  auto patch = static_cast<uint64_t>(options.patch_size);
  auto merge = static_cast<uint64_t>(options.merge_size);
  auto temporal = static_cast<uint64_t>(options.temporal_patch_size);
  uint64_t grid_w = static_cast<uint64_t>(frames[0].width) / patch;
  uint64_t grid_h = static_cast<uint64_t>(frames[0].height) / patch;
  uint64_t step = row / (grid_h * grid_w);
  uint64_t in_step = row % (grid_h * grid_w);
  uint64_t block = in_step / (merge * merge);
  uint64_t in_block = in_step % (merge * merge);
  uint64_t y = (block / (grid_w / merge) * merge + in_block / merge) * patch + column / patch % patch;
  uint64_t x = (block % (grid_w / merge) * merge + in_block % merge) * patch + column % patch;
  uint64_t frame =
      std::min(step * temporal + column / (patch * patch) % temporal, uint64_t{frames.size() - 1});
  uint64_t channel = column / (patch * patch * temporal);
  const Image& image = frames[frame];
  float value = image.rgb[(y * static_cast<uint64_t>(image.width) + x) * 3 + channel];
  return (value - 255.0f * options.mean[channel]) / (255.0f * options.std[channel]);
}

void expect_naive_patches(std::span<const Image> frames, const PatchOptions& options) {
  PatchedMedia media = frames_to_patches(frames, options);
  ASSERT_EQ(media.pixels.rows(), static_cast<uint64_t>(media.grid.patches()));
  for (uint64_t row = 0; row < media.pixels.rows(); ++row) {
    for (uint64_t column = 0; column < media.pixels.columns(); ++column) {
      ASSERT_EQ(media.pixels.row(row)[column], naive_value(frames, options, row, column))
          << row << ", " << column;
    }
  }
}

TEST(Patches, EqualASecondImplementation) {
  std::vector<Image> frames;
  for (uint32_t seed = 0; seed < 5; ++seed)
    frames.push_back(generated_image({.height = 64, .width = 96}, seed));
  for (size_t count = 1; count <= 5; ++count) expect_naive_patches(std::span(frames).first(count), {});
  expect_naive_patches(frames, {.patch_size = 8, .temporal_patch_size = 3, .merge_size = 4});
  expect_naive_patches(frames, {.mean = {0.48145466f, 0.4578275f, 0.40821073f},
                                .std = {0.26862954f, 0.26130258f, 0.27577711f}});
}

TEST(Patches, MergeBlockOrder) {
  // Each patch of a 4x4 grid is filled with its raster number.
  Image image{.width = 64, .height = 64, .rgb = HomeVector<uint8_t>(64 * 64 * 3)};
  for (size_t i = 0; i < 64 * 64; ++i) {
    std::fill_n(image.rgb.begin() + static_cast<ptrdiff_t>(i * 3), 3,
                static_cast<uint8_t>(i / 1024 * 4 + i % 64 / 16));
  }
  PatchedMedia media = frames_to_patches({&image, 1}, {.mean = {0, 0, 0}, .std = {1, 1, 1}});
  std::vector<int> order;
  for (uint64_t row = 0; row < 16; ++row) {
    order.push_back(static_cast<int>(std::lround(media.pixels.row(row)[0] * 255)));
  }
  EXPECT_THAT(order, ::testing::ElementsAre(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
  EXPECT_EQ(media.grid, (PatchGrid{.t = 1, .h = 4, .w = 4}));
  EXPECT_EQ(media.grid.tokens_per_step(2), 4);
}

TEST(Patches, ImagesEqualTheReference) {
  Json golden = golden_values()["image_patches"];
  ASSERT_EQ(golden.size(), 4u);
  for (const Json& row : golden) {
    Image image = generated_image({.height = row["size"][0], .width = row["size"][1]}, row["seed"]);
    PatchedMedia media = image_to_patches(image, {.min_pixels = 4096, .max_pixels = 20'000}, "x");
    EXPECT_EQ(media.grid, (PatchGrid{.t = row["grid"][0], .h = row["grid"][1], .w = row["grid"][2]})) << row;
    EXPECT_EQ(hash_text(std::span<const float>(media.pixels.values())), row["hash"].get<std::string>())
        << row;
  }
}

TEST(Patches, VideosEqualTheReference) {
  Json golden = golden_values()["video_patches"];
  ASSERT_EQ(golden.size(), 4u);
  for (const Json& row : golden) {
    // The budget for one picture is what the reference leaves each of these frames: 64x64, 32x64 (twice),
    // 96x32.
    Size size{.height = row["grid"][1].get<int64_t>() * 16, .width = row["grid"][2].get<int64_t>() * 16};
    std::vector<Image> frames;
    for (uint32_t seed = 0; seed < row["frames"].get<uint32_t>(); ++seed) {
      Image frame = generated_image({.height = row["size"][0], .width = row["size"][1]}, seed);
      frames.push_back(resize_bicubic(frame, size));
    }
    PatchedMedia media = frames_to_patches(frames, {});
    EXPECT_EQ(media.grid, (PatchGrid{.t = row["grid"][0], .h = row["grid"][1], .w = row["grid"][2]})) << row;
    EXPECT_EQ(hash_text(std::span<const float>(media.pixels.values())), row["hash"].get<std::string>())
        << row;
  }
}

}  // namespace
}  // namespace qvl
