#include "media/exif.h"

#include "media/media_testing.h"

namespace qvl {
namespace {

using namespace qvl::testing;
using namespace std::string_literals;

int orientation(const std::string& bytes) { return exif_orientation(bytes_of(bytes)); }

const std::string little = "II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"s;
const std::string big = "MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0\0\0\0\0"s;

std::string with_byte(std::string text, size_t at, char value) {
  text[at] = value;
  return text;
}

TEST(ExifOrientation, BothByteOrdersWithAndWithoutPrefix) {
  EXPECT_EQ(orientation(little), 6);
  EXPECT_EQ(orientation(big), 8);
  EXPECT_EQ(orientation("Exif\0\0"s + little), 6);
  EXPECT_EQ(orientation("Exif\0\0"s + big), 8);
  EXPECT_EQ(orientation(with_byte(little, 12, 4)), 6) << "a 32-bit value";
}

TEST(ExifOrientation, DamageMeansUpright) {
  EXPECT_EQ(orientation(""), 1);
  EXPECT_EQ(orientation("Exif\0\0"s), 1);
  EXPECT_EQ(orientation(with_byte(little, 0, 'X')), 1) << "byte order";
  EXPECT_EQ(orientation(with_byte(little, 2, 43)), 1) << "magic number";
  EXPECT_EQ(orientation(with_byte(little, 7, '\x7F')), 1) << "directory beyond the end";
  EXPECT_EQ(orientation(with_byte(little, 12, 2)), 1) << "type";
  EXPECT_EQ(orientation(with_byte(little, 14, 2)), 1) << "count";
  EXPECT_EQ(orientation(with_byte(little, 18, 0)), 1) << "value 0";
  EXPECT_EQ(orientation(with_byte(little, 18, 9)), 1) << "value 9";
  EXPECT_EQ(orientation(with_byte(little, 10, 0)), 1) << "another tag";
  for (size_t size = 0; size < 20; ++size) EXPECT_EQ(orientation(little.substr(0, size)), 1) << size;
}

TEST(ExifOrientation, TurnsAPicture) {
  // 1 2 3
  // 4 5 6
  Image image{.width = 3, .height = 2, .rgb = {}};
  for (uint8_t i = 1; i <= 6; ++i) image.rgb.insert(image.rgb.end(), 3, i);
  auto turned = [&](int value) {
    Image out = apply_orientation(image, value);
    std::string text = fmt::format("{}x{}:", out.width, out.height);
    for (size_t i = 0; i < out.rgb.size(); i += 3) text += static_cast<char>('0' + out.rgb[i]);
    return text;
  };
  EXPECT_EQ(turned(1), "3x2:123456");
  EXPECT_EQ(turned(2), "3x2:321654");
  EXPECT_EQ(turned(3), "3x2:654321");
  EXPECT_EQ(turned(4), "3x2:456123");
  EXPECT_EQ(turned(5), "2x3:142536");
  EXPECT_EQ(turned(6), "2x3:415263");
  EXPECT_EQ(turned(7), "2x3:635241");
  EXPECT_EQ(turned(8), "2x3:362514");
}

}  // namespace
}  // namespace qvl
