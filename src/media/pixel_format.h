// Decoded video frames to RGB.
#pragma once

#include <optional>
#include <string>

#include "media/image.h"

struct AVFrame;
struct SwsContext;

namespace qvl {

/// Converts frames of any pixel format at their own size: bilinear chroma at full resolution with exact
/// rounding, the matrix and range the frame tells (BT.601, limited, where it tells none). Keeps its tables
/// between frames of one format. Thread-compatible.
class RgbConverter {
 public:
  RgbConverter() = default;
  ~RgbConverter();
  RgbConverter(const RgbConverter&) = delete;
  RgbConverter& operator=(const RgbConverter&) = delete;

  /// With pixels from `memory`. Nothing for a pixel format that has no way to RGB.
  std::optional<Image> to_rgb(const AVFrame& frame, MemoryHome memory);

 private:
  SwsContext* context_ = nullptr;
};

std::string pixel_format_name(const AVFrame& frame);

}  // namespace qvl
