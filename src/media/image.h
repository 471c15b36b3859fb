// Pictures: decoding, resizing, cutting into patches.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "memory/memory_home.h"
#include "tensor/tensor.h"

namespace qvl {

/// Interleaved 8-bit RGB, rows from the top, no padding. What is made of a picture has the home of its
/// pixels.
struct Image {
  int64_t width = 0;
  int64_t height = 0;
  HomeVector<uint8_t> rgb;  // [height, width, 3]
};

struct Size {
  int64_t height = 0;
  int64_t width = 0;
  bool operator==(const Size&) const = default;
};

/// What is refused from the header alone, before pixels are allocated.
struct ImageLimits {
  uint64_t max_file_bytes = 64ull << 20;
  int64_t max_pixels = 64'000'000;
  int64_t max_side = 16'384;
  int64_t max_aspect_ratio = 200;
  int max_jpeg_scans = 500;
};

/// Throws Error{media} for an empty or too long picture, Error{limit} for too large a side or area.
void check_picture_size(Size size, std::string_view name, const ImageLimits& limits);
/// A black image of a size that has passed check_picture_size().
Image make_image(Size size, MemoryHome memory);

/// Decodes JPEG, PNG, WebP or the first frame of a GIF, found by content, with EXIF orientation applied and
/// alpha dropped. All large memory comes from `memory`, or is set down there where a library takes it.
/// Throws Error{media} or Error{limit}, beginning with `name`.
Image decode_image(std::span<const std::byte> file, std::string_view name, const ImageLimits& limits,
                   MemoryHome memory = {});
/// The same for a file on disk.
Image read_image(const std::filesystem::path& path, const ImageLimits& limits, MemoryHome memory = {});

/// What the header of a picture tells.
struct ImageHeader {
  Size size = {};  ///< before EXIF orientation, which may swap its sides
  /// What decoding takes besides the file and the pixels: the library's buffers, samples before they are
  /// expanded. Small ones are left out.
  uint64_t decoder_bytes = 0;
  uint64_t file_bytes = 0;
  /// Its EXIF orientation asks for that, or lies behind the pixels and may: a second picture while it is.
  bool may_be_turned = false;
};
/// Refuses what decode_image refuses from the header.
ImageHeader image_header(std::span<const std::byte> file, std::string_view name, const ImageLimits& limits);
ImageHeader read_image_header(const std::filesystem::path& path, const ImageLimits& limits,
                              MemoryHome memory = {});

/// Patches along time, height and width, before merging.
struct PatchGrid {
  int64_t t = 1;
  int64_t h = 0;
  int64_t w = 0;
  int64_t patches() const { return t * h * w; }
  /// Tokens in the prompt for one temporal step, after merging merge x merge patches.
  int64_t tokens_per_step(int64_t merge) const { return (h / merge) * (w / merge); }
  bool operator==(const PatchGrid&) const = default;
};

/// How pictures become patches: the fields of preprocessor_config.json, and what a request makes smaller.
struct PatchOptions {
  int64_t patch_size = 16;
  int64_t temporal_patch_size = 2;
  int64_t merge_size = 2;
  int64_t min_pixels = 65'536;
  int64_t max_pixels = 16'777'216;
  /// Not of the file but of a request: of a picture, or of one temporal step of a video, after merging.
  std::optional<int64_t> max_tokens = {};
  float mean[3] = {0.5f, 0.5f, 0.5f};
  float std[3] = {0.5f, 0.5f, 0.5f};
  int64_t factor() const { return patch_size * merge_size; }
};

/// The size a picture is resized to: multiples of factor(), within the pixel budget. Throws Error{media}
/// beyond the aspect ratio of 200, Error{usage} for `max_tokens` that min_pixels does not allow.
Size smart_resize(Size size, const PatchOptions& options, std::string_view name);

/// The most that read_image and image_to_patches hold at once of `memory`, for a picture of `header` that is
/// resized to `target`.
uint64_t pixel_bytes(const ImageHeader& header, Size target, const PatchOptions& options);

/// Separable antialiased bicubic, bit-exact with torchvision's uint8 path (antialias=True).
Image resize_bicubic(const Image& image, Size target);

struct PatchedMedia {
  Tensor pixels;  // [patches, channels * temporal_patch * patch * patch], merge-block order
  PatchGrid grid;
};

/// smart_resize, resize, normalise and cut; the frame is repeated to fill the temporal patch.
PatchedMedia image_to_patches(const Image& image, const PatchOptions& options, std::string_view name);
/// Cuts frames of one size (a multiple of factor()) into patches; an odd count repeats the last frame.
PatchedMedia frames_to_patches(std::span<const Image> frames, const PatchOptions& options);

}  // namespace qvl
