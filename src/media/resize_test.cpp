#include <cmath>

#include "media/image.h"
#include "media/media_testing.h"

namespace qvl {
namespace {

using namespace qvl::testing;

Size size_of(const Json& pair) { return {.height = pair[0], .width = pair[1]}; }

// The formula without any of the fast path's structure: for each pixel and channel, two passes in one place.
struct NaiveTap {
  int64_t first;
  std::vector<double> weights;
};

NaiveTap naive_tap(int64_t i, int64_t source, int64_t target) {
  double scale = static_cast<double>(source) / static_cast<double>(target);
  double stretch = std::max(scale, 1.0);
  double centre = (static_cast<double>(i) + 0.5) * scale;
  auto low = std::max<int64_t>(static_cast<int64_t>(centre - 2 * stretch + 0.5), 0);
  auto high = std::min<int64_t>(static_cast<int64_t>(centre + 2 * stretch + 0.5), source);
  NaiveTap tap{.first = low, .weights = {}};
  double sum = 0;
  for (int64_t j = low; j < high; ++j) {
    double x = std::abs((static_cast<double>(j) - centre + 0.5) / stretch);
    double near = 1.5 * x * x * x - 2.5 * x * x + 1;
    double far = -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2;
    tap.weights.push_back(x < 1 ? near : x < 2 ? far : 0);
    sum += tap.weights.back();
  }
  for (double& weight : tap.weights) weight /= sum;
  return tap;
}

int naive_bits(int64_t source, int64_t target) {
  double largest = 0;
  for (int64_t i = 0; i < target; ++i) {
    for (double weight : naive_tap(i, source, target).weights) largest = std::max(largest, weight);
  }
  int bits = 22;
  while (std::trunc(0.5 + largest * std::pow(2.0, bits)) >= 32768) --bits;
  return bits;
}

template <typename Pixel>
std::vector<uint8_t> naive_line(int64_t source, int64_t target, Pixel pixel) {
  int bits = naive_bits(source, target);
  std::vector<uint8_t> line;
  for (int64_t i = 0; i < target; ++i) {
    NaiveTap tap = naive_tap(i, source, target);
    int64_t sum = int64_t{1} << (bits - 1);
    for (size_t j = 0; j < tap.weights.size(); ++j) {
      double scaled = tap.weights[j] * std::pow(2.0, bits);
      sum += static_cast<int64_t>(scaled + (scaled < 0 ? -0.5 : 0.5)) *
             pixel(tap.first + static_cast<int64_t>(j));
    }
    line.push_back(static_cast<uint8_t>(std::clamp<int64_t>(sum >> bits, 0, 255)));
  }
  return line;
}

Image naive_resize(const Image& image, Size to) {
  Image wide{.width = to.width, .height = image.height, .rgb = {}};
  wide.rgb.resize(static_cast<size_t>(wide.width * wide.height * 3));
  Image out{.width = to.width, .height = to.height, .rgb = {}};
  out.rgb.resize(static_cast<size_t>(out.width * out.height * 3));
  for (int64_t c = 0; c < 3; ++c) {
    for (int64_t y = 0; y < image.height; ++y) {
      auto line = naive_line(image.width, to.width,
                             [&](int64_t x) { return image.rgb[(y * image.width + x) * 3 + c]; });
      for (int64_t x = 0; x < to.width; ++x) wide.rgb[(y * to.width + x) * 3 + c] = line[x];
    }
    for (int64_t x = 0; x < to.width; ++x) {
      auto line = naive_line(image.height, to.height,
                             [&](int64_t y) { return wide.rgb[(y * to.width + x) * 3 + c]; });
      for (int64_t y = 0; y < to.height; ++y) out.rgb[(y * to.width + x) * 3 + c] = line[y];
    }
  }
  return out;
}

TEST(Resize, EqualsTorchvisionBitForBit) {
  Json golden = golden_values()["resize"];
  ASSERT_EQ(golden.size(), 20u);
  for (const Json& row : golden) {
    Image image = generated_image(size_of(row["from"]), row["seed"]);
    Image resized = resize_bicubic(image, size_of(row["to"]));
    EXPECT_EQ(hash_text(std::span<const uint8_t>(resized.rgb)), row["hash"].get<std::string>()) << row;
  }
}

TEST(Resize, EqualsTheFormula) {
  const std::pair<Size, Size> cases[] = {
      {{7, 9}, {16, 12}}, {{40, 31}, {8, 17}}, {{5, 64}, {9, 6}}, {{1, 1}, {4, 4}}};
  for (auto [from, to] : cases) {
    Image image = generated_image(from, 7);
    EXPECT_EQ(resize_bicubic(image, to).rgb, naive_resize(image, to).rgb) << from.height << "x" << from.width;
  }
}

TEST(Resize, SameSizeIsTheSamePicture) {
  Image image = generated_image({.height = 6, .width = 5}, 3);
  EXPECT_EQ(resize_bicubic(image, {.height = 6, .width = 5}).rgb, image.rgb);
}

TEST(SmartResize, VectorsOfTheSpecification) {
  auto resized = [](int64_t height, int64_t width) {
    Size size = smart_resize({.height = height, .width = width}, {}, "x");
    return std::pair(size.height, size.width);
  };
  using Pair = std::pair<int64_t, int64_t>;
  EXPECT_EQ(resized(224, 224), Pair(256, 256));
  EXPECT_EQ(resized(480, 640), Pair(480, 640));
  EXPECT_EQ(resized(1080, 1920), Pair(1088, 1920));
  EXPECT_EQ(resized(3000, 4000), Pair(3008, 4000));
  EXPECT_EQ(resized(6000, 8000), Pair(3520, 4704));
  EXPECT_EQ(resized(100, 100), Pair(256, 256));
  EXPECT_EQ(resized(33, 47), Pair(224, 320));
  EXPECT_EQ(resized(48, 80), Pair(224, 352));
  EXPECT_EQ(resized(20, 3000), Pair(32, 3008));
  EXPECT_EQ(resized(1, 200), Pair(32, 3648));
}

TEST(SmartResize, EqualsTheReference) {
  Json golden = golden_values()["smart_resize"];
  ASSERT_EQ(golden.size(), 80u);
  for (const Json& row : golden) {
    PatchOptions options{.min_pixels = row[2], .max_pixels = row[3]};
    Size expected{.height = row[4], .width = row[5]};
    EXPECT_EQ(smart_resize({.height = row[0], .width = row[1]}, options, "x"), expected) << row;
  }
}

Size at_most(int64_t tokens, Size size) { return smart_resize(size, {.max_tokens = tokens}, "x"); }

TEST(SmartResize, MakesPicturesAsSmallAsTokensAreAllowed) {
  EXPECT_EQ(at_most(256, {.height = 1080, .width = 1920}), (Size{.height = 384, .width = 672}));
  EXPECT_EQ(at_most(64, {.height = 6000, .width = 8000}), (Size{.height = 192, .width = 288}));
  // Below 32 pixels a side gives no more: all of it is the other one's.
  EXPECT_EQ(at_most(64, {.height = 20, .width = 3000}), (Size{.height = 32, .width = 2048}));
  EXPECT_EQ(at_most(64, {.height = 3000, .width = 20}), (Size{.height = 2048, .width = 32}));
  // As much as it takes anyway.
  EXPECT_EQ(at_most(300, {.height = 480, .width = 640}), (Size{.height = 480, .width = 640}));
  EXPECT_EQ(at_most(1 << 24, {.height = 6000, .width = 8000}), (Size{.height = 3520, .width = 4704}));
}

TEST(SmartResize, UnderTokensIsTheReferenceWithFewerPixels) {
  for (const Size size : {Size{.height = 999, .width = 1001}, Size{.height = 480, .width = 3000},
                          Size{.height = 5000, .width = 100}, Size{.height = 64, .width = 12'000}}) {
    for (int64_t tokens = 64; tokens <= 600; ++tokens) {
      const Size found = at_most(tokens, size);
      const Size reference = smart_resize(size, {.max_pixels = tokens * 32 * 32}, "x");
      EXPECT_LE(found.height * found.width, tokens * 32 * 32) << size.height << " " << tokens;
      if (reference.height * reference.width <= tokens * 32 * 32) {
        EXPECT_EQ(found, reference) << size.height << " " << tokens;
      }
    }
  }
}

TEST(SmartResize, RefusesTokensBelowTheLeastPixels) {
  const auto refusal = [](int64_t tokens, Size size) { return error_of([&] { at_most(tokens, size); }); };
  EXPECT_EQ(refusal(63, {.height = 480, .width = 640}),
            "2: x: max_image_tokens: found 63, expected 64 or more (min_pixels of the checkpoint is 65536)");
  EXPECT_EQ(
      refusal(113, {.height = 1, .width = 200}),
      "2: x: max_image_tokens: found 113, expected 114 or more (min_pixels of the checkpoint is 65536)");
  EXPECT_EQ(at_most(114, {.height = 1, .width = 200}), (Size{.height = 32, .width = 3648}));
}

TEST(SmartResize, Refusals) {
  auto refusal = [](Size size, const PatchOptions& options) {
    return error_of([&] { smart_resize(size, options, "x"); });
  };
  EXPECT_EQ(refusal({.height = 1, .width = 201}, {}),
            "4: x: 201x1 pixels, one side at most 200 times the other allowed");
  EXPECT_EQ(refusal({.height = 0, .width = 5}, {}), "4: x: 5x0 pixels, expected at least 1x1");
  EXPECT_THAT(refusal({.height = 10, .width = 10}, {.min_pixels = INT64_MAX}),
              ::testing::StartsWith("5: x: would be resized to "));
  EXPECT_THAT(refusal({.height = 10, .width = 10}, {.min_pixels = 0, .max_pixels = 100}),
              ::testing::StartsWith("5: x: would be resized to 0x0 pixels"));
}

}  // namespace
}  // namespace qvl
