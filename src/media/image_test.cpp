#include "media/image.h"

#include <sys/stat.h>

#include "media/media_testing.h"

namespace qvl {
namespace {

using namespace qvl::testing;

struct Expected {
  std::string name;
  int64_t width;
  int64_t height;
};

void PrintTo(const Expected& expected, std::ostream* out) { *out << expected.name; }

std::vector<Expected> manifest() {
  std::vector<Expected> all;
  for (const Json& row : parse_json(fixture("manifest.json"), {.name = "manifest.json"})) {
    all.push_back({row["name"], row["width"], row["height"]});
  }
  return all;
}

class DecodesAsPillow : public ::testing::TestWithParam<Expected> {};

TEST_P(DecodesAsPillow, EveryByte) {
  const Expected& expected = GetParam();
  Image image = read_image(fixture_path(expected.name), {});
  EXPECT_EQ(image.width, expected.width);
  EXPECT_EQ(image.height, expected.height);
  Size size = read_image_header(fixture_path(expected.name), {}).size;  // not turned yet
  EXPECT_EQ(std::minmax(size.width, size.height), std::minmax(expected.width, expected.height));
  std::string rgb = fixture(expected.name + ".rgb");
  ASSERT_EQ(image.rgb.size(), rgb.size());
  for (size_t i = 0; i < rgb.size(); ++i) {
    ASSERT_EQ(image.rgb[i], static_cast<uint8_t>(rgb[i])) << "byte " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, DecodesAsPillow, ::testing::ValuesIn(manifest()),
                         [](const auto& test) { return test_name(test.param.name); });

TEST(ImageDecoding, FixturesCoverEveryFormat) { EXPECT_EQ(manifest().size(), 67u); }

TEST(ImageDecoding, TheNameDoesNotMatter) {
  std::string png = fixture("rgb8.png");
  Image image = decode_image(bytes_of(png), "photo.jpg", {});
  EXPECT_EQ(image.width, 19);
  EXPECT_EQ(image.rgb, decode_image(bytes_of(png), "x", {}).rgb);
}

TEST(ImageDecoding, LimitsAreJudgedBeforePixels) {
  auto decode = [](const ImageLimits& limits) {
    return error_of([&] { read_image(fixture_path("rgb8.png"), limits); }).substr(0, 3) +
           error_of([&] { decode_image(bytes_of(fixture("rgb8.png")), "x", limits); });
  };
  EXPECT_EQ(decode({.max_side = 18}), "5: 5: x: 19x13 pixels, at most 18 allowed on a side");
  EXPECT_EQ(decode({.max_pixels = 246}), "5: 5: x: 19x13 pixels, at most 246 allowed in all");
  EXPECT_EQ(decode({.max_pixels = 247}), "no no error");
  EXPECT_EQ(decode({.max_aspect_ratio = 1}),
            "4: 4: x: 19x13 pixels, one side at most 1 times the other allowed");
  size_t bytes = fixture("rgb8.png").size();
  EXPECT_EQ(decode({.max_file_bytes = bytes - 1}),
            fmt::format("5: 5: x: {} bytes, at most {} allowed", bytes, bytes - 1));
  EXPECT_EQ(decode({.max_file_bytes = bytes}), "no no error");
}

TEST(ImageSize, IsJudgedAndNeedsNoPixels) {
  std::string png = fixture("rgb8.png");
  png.resize(png.size() / 2);
  EXPECT_EQ(image_header(bytes_of(png), "x", {}).size, (Size{.height = 13, .width = 19}));
  auto verdict = [](std::string_view bytes, const ImageLimits& limits) {
    return error_of([&] { image_header(bytes_of(bytes), "x", limits); });
  };
  for (const char* name : {"rgb8.png", "sub420.jpg", "lossy.webp", "plain.gif"}) {
    EXPECT_EQ(verdict(fixture(name), {.max_side = 18}), "5: x: 19x13 pixels, at most 18 allowed on a side")
        << name;
  }
  EXPECT_EQ(verdict(png, {.max_file_bytes = 1}),
            fmt::format("5: x: {} bytes, at most 1 allowed", png.size()));
  EXPECT_EQ(verdict("", {}), "4: x: empty, expected JPEG, PNG, WebP or GIF");
  EXPECT_EQ(verdict("%PDF-1.4", {}), "4: x: found PDF, expected JPEG, PNG, WebP or GIF");
}

TEST(ImageDecoding, ScanLimitOfJpeg) {
  std::string jpeg = fixture("progressive.jpg");
  EXPECT_EQ(error_of([&] { decode_image(bytes_of(jpeg), "x", {.max_jpeg_scans = 4}); }),
            "5: x: JPEG: more than 4 scans");
  EXPECT_EQ(error_of([&] { decode_image(bytes_of(jpeg), "x", {}); }), "no error");
}

TEST(ImageDecoding, FilesThatCannotBeRead) {
  auto read = [](const std::filesystem::path& path) { return error_of([&] { read_image(path, {}); }); };
  auto folder = std::filesystem::temp_directory_path() / fmt::format("qvl_image_test_{}", ::getpid());
  std::filesystem::create_directory(folder);
  auto fifo = folder / "fifo.png";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(read(folder), fmt::format("4: {}: found a folder, expected a regular file", folder.string()));
  EXPECT_EQ(read(fifo), fmt::format("4: {}: found a special file, expected a regular file", fifo.string()));
  EXPECT_EQ(read(folder / "no"),
            fmt::format("4: {}: cannot open: No such file or directory", (folder / "no").string()));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace qvl
