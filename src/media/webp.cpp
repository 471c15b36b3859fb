// WebP through libwebp; of an animation the first frame, on a black canvas, as Pillow shows it.
#include <webp/decode.h>
#include <webp/demux.h>

#include <memory>

#include "media/codec.h"
#include "media/exif.h"

namespace qvl {
namespace {

struct DeleteDemuxer {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};
using Demuxer = std::unique_ptr<WebPDemuxer, DeleteDemuxer>;

struct FirstFrame {
  WebPIterator iterator{};
  bool found;
  explicit FirstFrame(const WebPDemuxer* demuxer) : found(WebPDemuxGetFrame(demuxer, 1, &iterator) != 0) {}
  ~FirstFrame() { WebPDemuxReleaseIterator(&iterator); }
  FirstFrame(const FirstFrame&) = delete;
  FirstFrame& operator=(const FirstFrame&) = delete;
};

int orientation_of(const WebPDemuxer* demuxer) {
  WebPChunkIterator chunk{};
  int orientation = 1;
  if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk) != 0) {
    orientation = exif_orientation(std::as_bytes(std::span(chunk.chunk.bytes, chunk.chunk.size)));
  }
  WebPDemuxReleaseChunkIterator(&chunk);
  return orientation;
}

std::string_view reason(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
      return "the data ends too early";
    case VP8_STATUS_BITSTREAM_ERROR:
      return "bitstream error";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return "unsupported feature";
    default:
      return "cannot be decoded";
  }
}

Demuxer open(const PictureSource& source) {
  WebPData data{source.data(), source.bytes.size()};
  Demuxer demuxer(WebPDemux(&data));
  if (!demuxer) fail(ErrorCode::media, "{}: damaged WebP: cut off or malformed chunks", source.name);
  return demuxer;
}

Size checked_canvas(const PictureSource& source, const WebPDemuxer* demuxer) {
  Size canvas{.height = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT),
              .width = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH)};
  check_size(source, canvas);
  return canvas;
}

// A lossless frame is decoded as a whole, four bytes a pixel; a lossy one row by row.
uint64_t decoder_bytes(const PictureSource& source, Size canvas) {
  const Demuxer demuxer = open(source);
  const FirstFrame frame(demuxer.get());
  WebPBitstreamFeatures features;
  constexpr int kLossless = 2;
  const WebPData& fragment = frame.iterator.fragment;
  if (!frame.found || WebPGetFeatures(fragment.bytes, fragment.size, &features) != VP8_STATUS_OK) return 0;
  return features.format == kLossless ? static_cast<uint64_t>(canvas.width * canvas.height) * 4 : 0;
}

}  // namespace

ImageHeader measure_webp(const PictureSource& source) {
  const Demuxer demuxer = open(source);
  const Size canvas = checked_canvas(source, demuxer.get());
  return {.size = canvas,
          .decoder_bytes = decoder_bytes(source, canvas),
          .may_be_turned = orientation_of(demuxer.get()) != 1};
}

DecodedPicture decode_webp(const PictureSource& source) {
  Demuxer demuxer = open(source);
  DecodedPicture picture;
  Size canvas = checked_canvas(source, demuxer.get());
  const Reservation whole_frame = source.memory.charge(decoder_bytes(source, canvas));
  picture.image = make_image(canvas, source.memory);
  picture.orientation = orientation_of(demuxer.get());

  FirstFrame frame(demuxer.get());
  const WebPIterator& at = frame.iterator;
  bool inside = frame.found && at.x_offset >= 0 && at.y_offset >= 0 && at.width > 0 && at.height > 0 &&
                int64_t{at.x_offset} + at.width <= canvas.width &&
                int64_t{at.y_offset} + at.height <= canvas.height;
  if (!inside) fail(ErrorCode::media, "{}: damaged WebP: no first frame inside the canvas", source.name);

  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) fail(ErrorCode::environment, "libwebp does not match its headers");
  size_t start = static_cast<size_t>((at.y_offset * canvas.width + at.x_offset) * 3);
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA = {.rgba = picture.image.rgb.data() + start,
                          .stride = static_cast<int>(canvas.width * 3),
                          .size = picture.image.rgb.size() - start};
  VP8StatusCode status = WebPDecode(at.fragment.bytes, at.fragment.size, &config);
  // libwebp calls it an invalid parameter where there is no memory for the decoder itself, and an abort where
  // there is none for its rows.
  if (status == VP8_STATUS_OUT_OF_MEMORY || status == VP8_STATUS_INVALID_PARAM ||
      status == VP8_STATUS_USER_ABORT) {
    fail(ErrorCode::limit, "{}: not enough memory to decode this WebP", source.name);
  }
  // The frame header inside the fragment may tell another size than the container: libwebp then refuses the
  // buffer.
  if (status != VP8_STATUS_OK || config.input.width != at.width || config.input.height != at.height) {
    fail(ErrorCode::media, "{}: damaged WebP: {}", source.name, reason(status));
  }
  return picture;
}

}  // namespace qvl
