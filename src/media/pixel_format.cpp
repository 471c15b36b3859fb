#include "media/pixel_format.h"

#include <cstring>
#include <memory>
#include <new>

#include "base/error.h"

extern "C" {
#include <libavutil/frame.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

namespace qvl {
namespace {

struct FreeFrame {
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
};
using Frame = std::unique_ptr<AVFrame, FreeFrame>;

// The formats whose name, not the frame, says that values use the full range.
bool is_full_range_format(AVPixelFormat format) {
  return format == AV_PIX_FMT_YUVJ420P || format == AV_PIX_FMT_YUVJ422P || format == AV_PIX_FMT_YUVJ444P ||
         format == AV_PIX_FMT_YUVJ440P || format == AV_PIX_FMT_YUVJ411P;
}

// With rows aligned for the converter, which may write beyond the last pixel of a row.
Frame make_rgb_frame(const AVFrame& like) {
  Frame rgb(av_frame_alloc());
  if (!rgb) throw std::bad_alloc();
  rgb->format = AV_PIX_FMT_RGB24;
  rgb->width = like.width;
  rgb->height = like.height;
  if (av_frame_get_buffer(rgb.get(), 0) < 0) throw std::bad_alloc();
  return rgb;
}

}  // namespace

RgbConverter::~RgbConverter() { sws_freeContext(context_); }

std::optional<Image> RgbConverter::to_rgb(const AVFrame& frame, MemoryHome memory) {
  auto format = static_cast<AVPixelFormat>(frame.format);
  if (sws_isSupportedInput(format) == 0) return std::nullopt;
  constexpr int flags = SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT;
  context_ = sws_getCachedContext(context_, frame.width, frame.height, format, frame.width, frame.height,
                                  AV_PIX_FMT_RGB24, flags, nullptr, nullptr, nullptr);
  if (context_ == nullptr) return std::nullopt;
  int full_range = frame.color_range == AVCOL_RANGE_JPEG || is_full_range_format(format) ? 1 : 0;
  constexpr int unchanged = 1 << 16;  // contrast and saturation in 16.16 fixed point
  // Has no effect, and says so, where the frame is RGB already.
  sws_setColorspaceDetails(context_, sws_getCoefficients(frame.colorspace), full_range,
                           sws_getCoefficients(SWS_CS_DEFAULT), 1, 0, unchanged, unchanged);
  Frame rgb = make_rgb_frame(frame);
  if (sws_scale(context_, frame.data, frame.linesize, 0, frame.height, rgb->data, rgb->linesize) !=
      frame.height) {
    return std::nullopt;
  }
  Image image{.width = frame.width, .height = frame.height, .rgb = HomeVector<uint8_t>(memory)};
  size_t row_bytes = static_cast<size_t>(frame.width) * 3;
  image.rgb.resize(row_bytes * static_cast<size_t>(frame.height));
  for (int y = 0; y < frame.height; ++y) {
    std::memcpy(image.rgb.data() + static_cast<size_t>(y) * row_bytes,
                rgb->data[0] + static_cast<ptrdiff_t>(y) * rgb->linesize[0], row_bytes);
  }
  return image;
}

std::string pixel_format_name(const AVFrame& frame) {
  const char* name = av_get_pix_fmt_name(static_cast<AVPixelFormat>(frame.format));
  return name != nullptr ? name : "(unknown)";
}

}  // namespace qvl
