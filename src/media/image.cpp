// From bytes to pixels: which decoder, which limits, which way up.
#include "media/image.h"

#include <algorithm>
#include <array>
#include <new>

#include "media/codec.h"
#include "media/exif.h"
#include "media/media_file.h"

namespace qvl {
namespace {

using namespace std::string_view_literals;

// What a format that is supported brings.
struct Codec {
  ImageHeader (*measure)(const PictureSource&);
  DecodedPicture (*decode)(const PictureSource&);
};
constexpr Codec jpeg{measure_jpeg, decode_jpeg}, png{measure_png, decode_png};
constexpr Codec webp{measure_webp, decode_webp}, gif{measure_gif, decode_gif};

// How the bytes of a format begin. `at` is where the signature lies.
struct Signature {
  std::string_view format;
  std::string_view bytes;
  size_t at = 0;
  const Codec* codec = nullptr;  ///< nothing for a format that is known but not supported
};

constexpr std::array signatures = {
    Signature{"JPEG", "\xFF\xD8\xFF"sv, 0, &jpeg},
    Signature{"PNG", "\x89PNG\r\n\x1A\n"sv, 0, &png},
    Signature{"WebP", "WEBP"sv, 8, &webp},
    Signature{"GIF", "GIF87a"sv, 0, &gif},
    Signature{"GIF", "GIF89a"sv, 0, &gif},
    Signature{"BMP", "BM"sv},
    Signature{"TIFF", "II*\0"sv},
    Signature{"TIFF", "MM\0*"sv},
    Signature{"BigTIFF", "II+\0"sv},
    Signature{"BigTIFF", "MM\0+"sv},
    Signature{"JPEG 2000", "\0\0\0\x0CjP  "sv},
    Signature{"JPEG 2000", "\xFF\x4F\xFF\x51"sv},
    Signature{"JPEG XL", "\xFF\x0A"sv},
    Signature{"JPEG XL", "\0\0\0\x0CJXL "sv},
    Signature{"AVIF", "ftypavif"sv, 4},
    Signature{"AVIF", "ftypavis"sv, 4},
    Signature{"HEIC", "ftyphe"sv, 4},
    Signature{"HEIC", "ftypmif1"sv, 4},
    Signature{"HEIC", "ftypmsf1"sv, 4},
    Signature{"an MP4 or QuickTime video", "ftyp"sv, 4},
    Signature{"a Matroska or WebM video", "\x1A\x45\xDF\xA3"sv},
    Signature{"PDF", "%PDF"sv},
    Signature{"PSD", "8BPS"sv},
    Signature{"ICO", "\0\0\1\0"sv},
    Signature{"a program (ELF)", "\x7F\x45LF"sv},
    Signature{"a ZIP archive", "PK\3\4"sv},
    Signature{"gzip data", "\x1F\x8B"sv},
    Signature{"SVG", "<svg"sv},
    Signature{"SVG or other XML", "<?xml"sv},
};

bool matches(const Signature& signature, std::string_view bytes) {
  return bytes.size() >= signature.at && bytes.substr(signature.at).starts_with(signature.bytes) &&
         (signature.format != "WebP" || bytes.starts_with("RIFF"));
}

const Signature* recognise(std::string_view bytes) {
  auto found = std::find_if(signatures.begin(), signatures.end(),
                            [bytes](const Signature& signature) { return matches(signature, bytes); });
  return found == signatures.end() ? nullptr : &*found;
}

const Codec& codec_of(const PictureSource& source) {
  if (source.bytes.size() > source.limits.max_file_bytes) {
    fail(ErrorCode::limit, "{}: {} bytes, at most {} allowed", source.name, source.bytes.size(),
         source.limits.max_file_bytes);
  }
  std::string_view bytes(reinterpret_cast<const char*>(source.bytes.data()), source.bytes.size());
  constexpr std::string_view expected = "expected JPEG, PNG, WebP or GIF";
  if (bytes.empty()) fail(ErrorCode::media, "{}: empty, {}", source.name, expected);
  const Signature* found = recognise(bytes);
  if (found == nullptr || found->codec == nullptr) {
    fail(ErrorCode::media, "{}: found {}, {}", source.name, found ? found->format : "no known picture format",
         expected);
  }
  return *found->codec;
}

}  // namespace

void check_picture_size(Size size, std::string_view name, const ImageLimits& limits) {
  if (size.width < 1 || size.height < 1) {
    fail(ErrorCode::media, "{}: {}x{} pixels, expected at least 1x1", name, size.width, size.height);
  }
  if (std::max(size.width, size.height) > limits.max_side) {
    fail(ErrorCode::limit, "{}: {}x{} pixels, at most {} allowed on a side", name, size.width, size.height,
         limits.max_side);
  }
  if (size.width > limits.max_pixels / size.height) {
    fail(ErrorCode::limit, "{}: {}x{} pixels, at most {} allowed in all", name, size.width, size.height,
         limits.max_pixels);
  }
  if (std::max(size.width, size.height) > limits.max_aspect_ratio * std::min(size.width, size.height)) {
    fail(ErrorCode::media, "{}: {}x{} pixels, one side at most {} times the other allowed", name, size.width,
         size.height, limits.max_aspect_ratio);
  }
}

void check_size(const PictureSource& source, Size size) {
  check_picture_size(size, source.name, source.limits);
}

void check_length(const PictureSource& source, uint64_t least_bytes) {
  if (source.bytes.size() >= least_bytes) return;
  fail(ErrorCode::media, "{}: cut off: {} bytes, the picture its header tells takes at least {}", source.name,
       source.bytes.size(), least_bytes);
}

Image make_image(Size size, MemoryHome memory) {
  Image image{.width = size.width, .height = size.height, .rgb = HomeVector<uint8_t>(memory)};
  image.rgb.resize(static_cast<size_t>(size.width) * static_cast<size_t>(size.height) * 3);
  return image;
}

Image decode_image(std::span<const std::byte> file, std::string_view name, const ImageLimits& limits,
                   MemoryHome memory) {
  PictureSource source{.bytes = file, .name = printable(name, 4096), .limits = limits, .memory = memory};
  try {
    DecodedPicture picture = codec_of(source).decode(source);
    return apply_orientation(std::move(picture.image), picture.orientation);
  } catch (const MemoryRefused& refused) {
    fail_short_of_memory("{}: {}", source.name, refused.what());
  } catch (const std::bad_alloc&) {
    fail(ErrorCode::limit, "{}: not enough memory to decode this picture", source.name);
  }
}

ImageHeader image_header(std::span<const std::byte> file, std::string_view name, const ImageLimits& limits) {
  PictureSource source{.bytes = file, .name = printable(name, 4096), .limits = limits};
  ImageHeader header = codec_of(source).measure(source);
  header.file_bytes = file.size();
  return header;
}

Image read_image(const std::filesystem::path& path, const ImageLimits& limits, MemoryHome memory) {
  const MediaFile file(path, limits.max_file_bytes, memory);
  return decode_image(file.bytes(), path.string(), limits, memory);
}

ImageHeader read_image_header(const std::filesystem::path& path, const ImageLimits& limits,
                              MemoryHome memory) {
  const MediaFile file(path, limits.max_file_bytes, memory);
  return image_header(file.bytes(), path.string(), limits);
}

}  // namespace qvl
