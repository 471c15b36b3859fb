#include "pipeline/picture.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace qvl {
namespace {

constexpr int64_t kSamples = 3;
// So many bytes are asked for at a time, but for a row that is longer: that fits a cache.
constexpr int64_t kStripBytes = 256 << 10;

class ArraySource final : public PixelSource {
 public:
  explicit ArraySource(PixelArray array) : array_(std::move(array)) {}

  int64_t width() const override { return array_.width; }
  int64_t height() const override { return array_.height; }
  void read_rows(int64_t first, std::span<uint8_t> rgb) const override {
    const auto row_bytes = static_cast<size_t>(array_.width * kSamples);
    const bool is_packed = array_.sample_stride == 1 && array_.pixel_stride == kSamples;
    for (const uint8_t* row = array_.first + first * array_.row_stride; !rgb.empty();
         row += array_.row_stride, rgb = rgb.subspan(row_bytes)) {
      if (is_packed) {
        std::memcpy(rgb.data(), row, row_bytes);
      } else {
        gather(row, rgb.data());
      }
      if (rgb.size() == row_bytes) return;  // no pointer is made to beyond the last row
    }
  }

 private:
  void gather(const uint8_t* row, uint8_t* rgb) const {
    for (int64_t x = 0; x < array_.width; ++x) {
      const uint8_t* pixel = row + x * array_.pixel_stride;
      for (int64_t c = 0; c < kSamples; ++c) *rgb++ = pixel[c * array_.sample_stride];
    }
  }

  PixelArray array_;
};

// Calls `take` with the first row and the number of rows of each strip, from the top on.
template <typename Take>
void for_each_strip(const PixelSource& source, Take&& take) {
  const int64_t rows = std::max<int64_t>(kStripBytes / (source.width() * kSamples), 1);
  for (int64_t first = 0; first < source.height(); first += rows) {
    take(first, std::min(rows, source.height() - first));
  }
}

}  // namespace

std::shared_ptr<const PixelSource> pixel_source(PixelArray array) {
  return std::make_shared<ArraySource>(std::move(array));
}

Picture::Picture(std::string name, std::shared_ptr<const PixelSource> pixels)
    : name_(std::move(name)), content_(std::move(pixels)) {
  const std::string shown = path_name(name_);
  const PixelSource* source = this->pixels();
  if (source == nullptr) fail(ErrorCode::usage, "{}: found no pixels, expected a source of them", shown);
  check_picture_size({.height = source->height(), .width = source->width()}, shown, ImageLimits());
}

const PixelSource* Picture::pixels() const {
  const auto* source = std::get_if<std::shared_ptr<const PixelSource>>(&content_);
  return source != nullptr ? source->get() : nullptr;
}

void Picture::let_go() {
  if (!is_file()) content_ = LetGo();
}

Image read_pixels(const PixelSource& source, MemoryHome memory) {
  Image image = make_image({.height = source.height(), .width = source.width()}, memory);
  const auto row_bytes = static_cast<size_t>(image.width * kSamples);
  for_each_strip(source, [&](int64_t first, int64_t rows) {
    source.read_rows(first, std::span(image.rgb).subspan(row_bytes * static_cast<size_t>(first),
                                                         row_bytes * static_cast<size_t>(rows)));
  });
  return image;
}

ContentKey key_of(const PixelSource& source) {
  ContentHasher hasher;
  std::vector<uint8_t> strip;
  for_each_strip(source, [&](int64_t first, int64_t rows) {
    strip.resize(static_cast<size_t>(rows * source.width() * kSamples));
    source.read_rows(first, strip);
    hasher.add(std::as_bytes(std::span(strip)));
  });
  return hasher.key();
}

}  // namespace qvl
