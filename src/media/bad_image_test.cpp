// What must be refused, with which code and words, and that damage anywhere never does worse than that.
#include <zlib.h>

#include "media/image.h"
#include "media/media_testing.h"

namespace qvl {
namespace {

using namespace qvl::testing;
using namespace std::string_literals;
using ::testing::HasSubstr;

std::string verdict(const std::string& bytes) {
  return error_of([&] { decode_image(bytes_of(bytes), "x", {}); });
}

std::string replaced(std::string text, size_t at, const std::string& with) {
  return text.replace(at, with.size(), with);
}

// With the bytes after the first occurrence of `mark` replaced.
std::string patched(const std::string& name, const std::string& mark, const std::string& with) {
  std::string text = fixture(name);
  size_t at = text.find(mark);
  EXPECT_NE(at, std::string::npos) << name;
  return replaced(text, at + mark.size(), with);
}

struct BadImage {
  const char* what;
  std::string bytes;
  std::string verdict;
};

const std::string expected = ", expected JPEG, PNG, WebP or GIF";

std::vector<BadImage> unsupported_formats() {
  return {
      {"nothing", "", "4: x: empty" + expected},
      {"one byte", "\xFF", "4: x: found no known picture format" + expected},
      {"text", "hello world", "4: x: found no known picture format" + expected},
      {"BMP", "BM\x46\0\0\0"s, "4: x: found BMP" + expected},
      {"TIFF, little-endian", "II*\0\x08\0\0\0"s, "4: x: found TIFF" + expected},
      {"TIFF, big-endian", "MM\0*\0\0\0\x08"s, "4: x: found TIFF" + expected},
      {"SVG", "<svg xmlns='http://www.w3.org/2000/svg'/>", "4: x: found SVG" + expected},
      {"XML", "<?xml version='1.0'?><svg/>", "4: x: found SVG or other XML" + expected},
      {"HEIC",
       "\0\0\0\x18"
       "ftypheic"s,
       "4: x: found HEIC" + expected},
      {"AVIF",
       "\0\0\0\x18"
       "ftypavif"s,
       "4: x: found AVIF" + expected},
      {"JPEG 2000", "\0\0\0\x0CjP  \r\n\x87\n"s, "4: x: found JPEG 2000" + expected},
      {"JPEG XL", "\xFF\x0A..", "4: x: found JPEG XL" + expected},
      {"PDF", "%PDF-1.7", "4: x: found PDF" + expected},
      {"program",
       "\x7F"
       "ELF\2\1\1",
       "4: x: found a program (ELF)" + expected},
      {"video",
       "\0\0\0\x18"
       "ftypisom"s,
       "4: x: found an MP4 or QuickTime video" + expected},
      {"sound", "RIFF\0\0\0\0WAVE"s, "4: x: found no known picture format" + expected},
  };
}

// The header of a square picture with its right checksum, before the pixels of a small one.
std::string declared_png(uint32_t side) {
  std::string png = fixture("rgb8.png");
  auto big_endian = [](uint32_t value) {
    return std::string{static_cast<char>(value >> 24), static_cast<char>(value >> 16),
                       static_cast<char>(value >> 8), static_cast<char>(value)};
  };
  png = replaced(png, 16, big_endian(side) + big_endian(side));
  auto checksum = ::crc32(0, reinterpret_cast<const Bytef*>(png.data() + 12), 17);
  return replaced(png, 29, big_endian(static_cast<uint32_t>(checksum)));
}

std::vector<BadImage> bad_pngs() {
  std::string png = fixture("rgb8.png");
  std::string huge = replaced(png, 16, "\x7F\xFF\xFF\xFF\x7F\xFF\xFF\xFF"s);
  return {
      {"signature alone", png.substr(0, 8), "4: x: damaged PNG: no IHDR chunk at its beginning"},
      {"other first chunk", replaced(png, 12, "IDAT"), "4: x: damaged PNG: no IHDR chunk at its beginning"},
      {"2^31-1 a side", huge, "5: x: 2147483647x2147483647 pixels, at most 16384 allowed on a side"},
      {"16000x16000", replaced(png, 16, "\0\0\x3E\x80\0\0\x3E\x80"s),
       "5: x: 16000x16000 pixels, at most 64000000 allowed in all"},
      {"no width", replaced(png, 16, "\0\0\0\0"s), "4: x: 0x13 pixels, expected at least 1x1"},
      {"too long", replaced(png, 16, "\0\0\x0F\0\0\0\0\1"s),
       "4: x: 3840x1 pixels, one side at most 200 times the other allowed"},
      {"checksum of IHDR", replaced(png, 29, "\0\0\0\0"s),
       "4: x: damaged or unsupported PNG: IHDR: CRC error"},
      {"checksum of a text", patched("text_bomb.png", "zTXt", "D"),
       "4: x: damaged or unsupported PNG: zTXt: CRC error"},
      {"few bytes for 8000x8000", declared_png(8000),
       fmt::format("4: x: cut off: {} bytes, the picture its header tells takes at least 186046",
                   declared_png(8000).size())},
      {"cut off", png.substr(0, png.size() - 20),
       "4: x: damaged or unsupported PNG: the data ends too early"},
      {"no end chunk", png.substr(0, png.size() - 12),
       "4: x: damaged or unsupported PNG: the data ends too early"},
  };
}

std::vector<BadImage> bad_jpegs() {
  std::string jpeg = fixture("sub420.jpg");
  auto frame = [](const std::string& with) { return patched("sub420.jpg", "\xFF\xC0\0\x11"s, with); };
  return {
      {"12 bits", frame("\x0C"), "4: x: JPEG with 12 bits per sample, expected 8"},
      {"no height", frame("\x08\0\0"s),
       "4: x: damaged or unsupported JPEG: Empty JPEG image (DNL not supported)"},
      {"60000x60000", frame("\x08\xEA\x60\xEA\x60"s),
       "5: x: 60000x60000 pixels, at most 16384 allowed on a side"},
      {"65535 high", frame("\x08\xFF\xFF"), "5: x: JPEG: Maximum supported image dimension is 65500 pixels"},
      {"few bytes for 8000x8000", frame("\x08\x1F\x40\x1F\x40"),
       fmt::format("4: x: cut off: {} bytes, the picture its header tells takes at least 125000",
                   jpeg.size())},
      {"lossless", patched("sub420.jpg", "\xFF", "\xD8\xFF\xC3\0\x0B\x08\0\1\0\1\1\1\x11\0"s),
       "4: x: damaged or unsupported JPEG: Unsupported JPEG process: SOF type 0xc3"},
      {"cut in the scan", jpeg.substr(0, jpeg.size() - 9),
       "4: x: damaged or unsupported JPEG: Premature end of JPEG file"},
      {"no end marker", jpeg.substr(0, jpeg.size() - 2),
       "4: x: damaged or unsupported JPEG: Premature end of JPEG file"},
      {"start marker alone", "\xFF\xD8\xFF", "4: x: damaged or unsupported JPEG: Premature end of JPEG file"},
  };
}

std::vector<BadImage> bad_webps_and_gifs() {
  std::string gif = fixture("plain.gif");
  std::string webp = fixture("lossy.webp");
  return {
      {"WebP header alone", webp.substr(0, 12), "4: x: damaged WebP: cut off or malformed chunks"},
      {"WebP cut off", webp.substr(0, webp.size() - 4), "4: x: damaged WebP: cut off or malformed chunks"},
      {"WebP of 16383x16383", patched("lossy.webp", "\x9D\x01\x2A", "\xFF\x3F\xFF\x3F"),
       "5: x: 16383x16383 pixels, at most 64000000 allowed in all"},
      {"GIF without frames", gif.substr(0, 13) + ";", "4: x: damaged GIF: No screen descriptor detected"},
      {"GIF of nothing", "GIF89a\1\0\1\0\0\0\0;"s, "4: x: GIF without a picture"},
      {"GIF cut off", gif.substr(0, gif.size() - 20), "4: x: damaged GIF: Failed to read from given file"},
      {"GIF screen of 65535x65535", replaced(gif, 6, "\xFF\xFF\xFF\xFF"),
       "5: x: 65535x65535 pixels, at most 16384 allowed on a side"},
  };
}

TEST(BadImages, AreRefusedByName) {
  size_t rows = 0;
  for (const auto& table : {unsupported_formats(), bad_pngs(), bad_jpegs(), bad_webps_and_gifs()}) {
    for (const BadImage& bad : table) {
      EXPECT_EQ(verdict(bad.bytes), bad.verdict) << bad.what;
      ++rows;
    }
  }
  EXPECT_GE(rows, 40u);
}

TEST(BadImages, IndicesBeyondThePalette) {
  // The first palette entries only: length 3 colours instead of 256, checksum of "PLTE" and 9 zero bytes.
  std::string png = fixture("palette8.png");
  size_t at = png.find("PLTE");
  std::string three = png.substr(0, at - 4) + "\0\0\0\x09PLTE\0\0\0\0\0\0\0\0\0\x83\x63\xE9\xC0"s +
                      png.substr(at + 4 + 768 + 4);
  EXPECT_THAT(verdict(three),
              ::testing::MatchesRegex("4: x: damaged PNG: a pixel has colour [0-9]+, the palette 3 colours"));
}

TEST(BadImages, NamesStayOnOneLine) {
  EXPECT_EQ(error_of([] { decode_image({}, "a\nb", {}); }), "4: a\\x0ab: empty" + expected);
}

const char* const damaged_fixtures[] = {"sub420.jpg",    "progressive.jpg", "cmyk_adobe.jpg",
                                        "exif6.jpg",     "rgb8_adam7.png",  "palette4_trns_adam7.png",
                                        "exif6.png",     "lossy.webp",      "lossy_alpha.webp",
                                        "lossless.webp", "animated.webp",   "interlaced.gif",
                                        "moved.gif"};

class DamagedImages : public ::testing::TestWithParam<const char*> {};

// Of a GIF the first frame decides: only its trailer may miss. Everything else must be there in full.
TEST_P(DamagedImages, TruncatedAnywhere) {
  std::string bytes = fixture(GetParam());
  bool is_gif = std::string_view(GetParam()).ends_with(".gif");
  for (size_t size = 0; size < bytes.size(); ++size) {
    std::string cut = bytes.substr(0, size);
    std::string first = verdict(cut);
    EXPECT_EQ(first, verdict(cut));
    if (is_gif && size == bytes.size() - 1) continue;
    EXPECT_THAT(first, HasSubstr("4: x: ")) << size << " of " << bytes.size() << " bytes";
  }
}

// A flipped bit may give another valid picture; it must give the same one, or the same error, each time.
TEST_P(DamagedImages, FlippedBits) {
  const std::string bytes = fixture(GetParam());
  auto outcome = [](const std::string& damaged) {
    std::string pixels;
    std::string error = error_of([&] {
      Image image = decode_image(bytes_of(damaged), "x", {.max_pixels = 1'000'000});
      pixels =
          fmt::format("{}x{} {}", image.width, image.height, hash_text(std::span<const uint8_t>(image.rgb)));
    });
    return error + pixels;
  };
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << (i % 8)));
    std::string first = outcome(damaged);
    EXPECT_EQ(first, outcome(damaged)) << "byte " << i;
    EXPECT_EQ(first.find('\n'), std::string::npos);
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, DamagedImages, ::testing::ValuesIn(damaged_fixtures),
                         [](const auto& test) { return test_name(test.param); });

}  // namespace
}  // namespace qvl
