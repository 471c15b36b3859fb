// Pixels to the rows the vision tower reads: normalised, cut, in merge-block order.
#include <algorithm>
#include <array>

#include "base/error.h"
#include "media/image.h"

namespace qvl {
namespace {

constexpr int channels = 3;

// The reference scales mean and deviation by 255 in float32 instead of scaling pixels by 1/255; a byte has
// 256 values.
class Normaliser {
 public:
  explicit Normaliser(const PatchOptions& options) {
    for (int c = 0; c < channels; ++c) {
      float mean = options.mean[c] * 255.0f;
      float deviation = options.std[c] * 255.0f;
      for (int value = 0; value < 256; ++value) {
        table_[c][value] = (static_cast<float>(value) - mean) / deviation;
      }
    }
  }
  float operator()(int channel, uint8_t value) const { return table_[channel][value]; }

 private:
  std::array<std::array<float, 256>, channels> table_;
};

class PatchWriter {
 public:
  PatchWriter(std::span<const Image> frames, const PatchOptions& options)
      : frames_(frames), options_(options), normalise_(options) {}

  // One row of the result, the patch at (y, x) of one temporal step: [channels, temporal, patch, patch].
  void write(int64_t step, int64_t patch_y, int64_t patch_x, float* out) const {
    int64_t patch = options_.patch_size;
    for (int c = 0; c < channels; ++c) {
      for (int64_t t = 0; t < options_.temporal_patch_size; ++t) {
        const Image& frame = frame_at(step * options_.temporal_patch_size + t);
        for (int64_t y = 0; y < patch; ++y) {
          const uint8_t* pixel =
              frame.rgb.data() + ((patch_y * patch + y) * frame.width + patch_x * patch) * channels + c;
          for (int64_t x = 0; x < patch; ++x) *out++ = normalise_(c, pixel[x * channels]);
        }
      }
    }
  }

 private:
  const Image& frame_at(int64_t index) const {
    return frames_[std::min(static_cast<size_t>(index), frames_.size() - 1)];
  }

  std::span<const Image> frames_;
  const PatchOptions& options_;
  Normaliser normalise_;
};

}  // namespace

PatchedMedia frames_to_patches(std::span<const Image> frames, const PatchOptions& options) {
  QVL_CHECK(!frames.empty());
  const Image& first = frames.front();
  for (const Image& frame : frames) {
    QVL_CHECK(frame.width == first.width && frame.height == first.height);
  }
  QVL_CHECK(first.width % options.factor() == 0 && first.height % options.factor() == 0);
  auto count = static_cast<int64_t>(frames.size());
  int64_t temporal = options.temporal_patch_size;
  PatchGrid grid{.t = (count + temporal - 1) / temporal,
                 .h = first.height / options.patch_size,
                 .w = first.width / options.patch_size};
  auto row_values = channels * temporal * options.patch_size * options.patch_size;
  PatchedMedia media{.pixels = Tensor(static_cast<uint64_t>(grid.patches()),
                                      static_cast<uint64_t>(row_values), first.rgb.get_allocator().home()),
                     .grid = grid};
  PatchWriter writer(frames, options);
  int64_t merge = options.merge_size;
  float* out = media.pixels.data();
  for (int64_t t = 0; t < grid.t; ++t) {
    for (int64_t block_y = 0; block_y < grid.h; block_y += merge) {
      for (int64_t block_x = 0; block_x < grid.w; block_x += merge) {
        for (int64_t i = 0; i < merge * merge; ++i, out += row_values) {
          writer.write(t, block_y + i / merge, block_x + i % merge, out);
        }
      }
    }
  }
  return media;
}

uint64_t pixel_bytes(const ImageHeader& header, Size target, const PatchOptions& options) {
  const auto rgb = [](int64_t width, int64_t height) {
    return MemoryHome::taken_bytes(static_cast<uint64_t>(width * height * channels));
  };
  const Size& size = header.size;
  const uint64_t decoded = rgb(size.width, size.height), resized = rgb(target.width, target.height);
  // One that lies on its side is turned first, into a second one, and resized the other way round. Where both
  // sides change there is a picture in between.
  const uint64_t turned = header.may_be_turned ? decoded : 0;
  const bool two_passes = size.width != target.width && size.height != target.height;
  uint64_t between = two_passes ? rgb(target.width, size.height) : 0;
  if (two_passes && header.may_be_turned) between = std::max(between, rgb(target.height, size.width));
  const uint64_t rows = MemoryHome::taken_bytes(
      static_cast<uint64_t>(target.width * target.height * channels * options.temporal_patch_size) *
      sizeof(float));
  const uint64_t reading = header.file_bytes + decoded + std::max(header.decoder_bytes, turned);
  return std::max({reading, decoded + between + resized, decoded + resized + rows});
}

PatchedMedia image_to_patches(const Image& image, const PatchOptions& options, std::string_view name) {
  Size target = smart_resize({.height = image.height, .width = image.width}, options, name);
  Image resized = resize_bicubic(image, target);
  return frames_to_patches({&resized, 1}, options);
}

}  // namespace qvl
