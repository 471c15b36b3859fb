#include "media/exif.h"

#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include "base/error.h"

namespace qvl {
namespace {

constexpr uint16_t orientation_tag = 0x0112;
constexpr uint16_t short_type = 3;
constexpr uint16_t long_type = 4;
constexpr size_t entry_bytes = 12;

// Numbers of a TIFF structure in its own byte order; nothing beyond its end.
class TiffNumbers {
 public:
  explicit TiffNumbers(std::span<const std::byte> bytes) : bytes_(bytes) {}

  bool read_header() {
    if (bytes_.size() < 8) return false;
    little_endian_ = std::memcmp(bytes_.data(), "II", 2) == 0;
    if (!little_endian_ && std::memcmp(bytes_.data(), "MM", 2) != 0) return false;
    return number(2, 2) == 42u;
  }

  std::optional<uint32_t> number(size_t offset, size_t width) const {
    if (offset > bytes_.size() || bytes_.size() - offset < width) return std::nullopt;
    uint32_t value = 0;
    for (size_t i = 0; i < width; ++i) {
      size_t at = little_endian_ ? offset + width - 1 - i : offset + i;
      value = value << 8 | std::to_integer<uint32_t>(bytes_[at]);
    }
    return value;
  }

 private:
  std::span<const std::byte> bytes_;
  bool little_endian_ = false;
};

std::optional<uint32_t> orientation_entry(const TiffNumbers& tiff) {
  auto directory = tiff.number(4, 4);
  auto entries = directory ? tiff.number(*directory, 2) : std::nullopt;
  if (!entries) return std::nullopt;
  for (size_t i = 0; i < *entries; ++i) {
    size_t entry = size_t{*directory} + 2 + i * entry_bytes;
    auto tag = tiff.number(entry, 2);
    if (!tag) return std::nullopt;
    if (*tag != orientation_tag) continue;
    auto type = tiff.number(entry + 2, 2);
    if (tiff.number(entry + 4, 4) != 1u) return std::nullopt;
    if (type == short_type) return tiff.number(entry + 8, 2);
    if (type == long_type) return tiff.number(entry + 8, 4);
    return std::nullopt;
  }
  return std::nullopt;
}

// Where the pixel (y, x) of the turned picture lies in the stored one.
std::pair<int64_t, int64_t> stored_position(const Image& image, int orientation,
                                            std::pair<int64_t, int64_t> at) {
  auto [y, x] = at;
  int64_t bottom = image.height - 1;
  int64_t right = image.width - 1;
  switch (orientation) {
    case 2:
      return {y, right - x};
    case 3:
      return {bottom - y, right - x};
    case 4:
      return {bottom - y, x};
    case 5:
      return {x, y};
    case 6:
      return {bottom - x, y};
    case 7:
      return {bottom - x, right - y};
    case 8:
      return {x, right - y};
    default:
      return {y, x};
  }
}

}  // namespace

int exif_orientation(std::span<const std::byte> exif) {
  constexpr char prefix[] = {'E', 'x', 'i', 'f', 0, 0};
  if (exif.size() >= sizeof prefix && std::memcmp(exif.data(), prefix, sizeof prefix) == 0) {
    exif = exif.subspan(sizeof prefix);
  }
  TiffNumbers tiff(exif);
  if (!tiff.read_header()) return 1;
  uint32_t value = orientation_entry(tiff).value_or(1);
  return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
}

Image apply_orientation(Image image, int orientation) {
  QVL_CHECK(orientation >= 1 && orientation <= 8);
  if (orientation == 1) return image;
  bool swaps_sides = orientation >= 5;
  Image turned{.width = 0, .height = 0, .rgb = HomeVector<uint8_t>(image.rgb.get_allocator())};
  turned.width = swaps_sides ? image.height : image.width;
  turned.height = swaps_sides ? image.width : image.height;
  turned.rgb.resize(image.rgb.size());
  uint8_t* out = turned.rgb.data();
  for (int64_t y = 0; y < turned.height; ++y) {
    for (int64_t x = 0; x < turned.width; ++x, out += 3) {
      auto [from_y, from_x] = stored_position(image, orientation, {y, x});
      std::memcpy(out, image.rgb.data() + (from_y * image.width + from_x) * 3, 3);
    }
  }
  return turned;
}

}  // namespace qvl
