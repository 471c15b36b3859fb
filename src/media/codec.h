// The decoders of one picture format each, behind decode_image. Each judges the size from the header before
// it allocates pixels, and knows nothing of the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "media/image.h"

namespace qvl {

/// The bytes of one picture, its name for messages, what is refused, and where pixels come from. Borrowed for
/// the call.
struct PictureSource {
  std::span<const std::byte> bytes;
  std::string name;
  const ImageLimits& limits;
  MemoryHome memory = {};

  const uint8_t* data() const { return reinterpret_cast<const uint8_t*>(bytes.data()); }
};

struct DecodedPicture {
  Image image;
  int orientation = 1;  ///< EXIF orientation 1..8, not applied yet
};

/// check_picture_size() of a picture with this header.
void check_size(const PictureSource& source, Size size);

/// Throws Error{media} where the file is shorter than `least_bytes`, below which its format cannot describe
/// the picture its header tells: a few bytes do not get to allocate millions of pixels.
void check_length(const PictureSource& source, uint64_t least_bytes);

/// What its header tells, but for the bytes of the file, with every refusal that decoding makes before it
/// allocates pixels.
ImageHeader measure_jpeg(const PictureSource& source);
ImageHeader measure_png(const PictureSource& source);
ImageHeader measure_webp(const PictureSource& source);
ImageHeader measure_gif(const PictureSource& source);

DecodedPicture decode_jpeg(const PictureSource& source);
DecodedPicture decode_png(const PictureSource& source);
DecodedPicture decode_webp(const PictureSource& source);
DecodedPicture decode_gif(const PictureSource& source);

}  // namespace qvl
