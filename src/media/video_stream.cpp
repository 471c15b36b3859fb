#include "media/video_stream.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <mutex>

#include "base/error.h"
#include "media/exif.h"
#include "media/frame_memory.h"
#include "media/memory_input.h"
#include "media/pixel_format.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
}

namespace qvl {
namespace {

// Containers that hold their frames themselves.
constexpr char containers[] = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg";
constexpr std::array codecs = {AV_CODEC_ID_H264,       AV_CODEC_ID_HEVC,       AV_CODEC_ID_VP8,
                               AV_CODEC_ID_VP9,        AV_CODEC_ID_AV1,        AV_CODEC_ID_MPEG4,
                               AV_CODEC_ID_MPEG2VIDEO, AV_CODEC_ID_MPEG1VIDEO, AV_CODEC_ID_MJPEG,
                               AV_CODEC_ID_THEORA,     AV_CODEC_ID_H263,       AV_CODEC_ID_FLV1,
                               AV_CODEC_ID_PRORES,     AV_CODEC_ID_FFV1,       AV_CODEC_ID_RAWVIDEO};
constexpr double default_fps = 24;  // the reference's assumption where the container says nothing

struct FreeFormat {
  void operator()(AVFormatContext* context) const { avformat_close_input(&context); }
};
struct FreeCodec {
  void operator()(AVCodecContext* context) const { avcodec_free_context(&context); }
};
struct FreePacket {
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
};
struct FreeFrame {
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
};

// A library does not print, and FFmpeg offers no switch for one context.
void silence_ffmpeg() {
  static std::once_flag once;
  std::call_once(once, [] { av_log_set_level(AV_LOG_QUIET); });
}

std::string text_of(int error) {
  std::array<char, AV_ERROR_MAX_STRING_SIZE> text{};
  av_strerror(error, text.data(), text.size());
  return text.data();
}

// Whatever a container refers to outside itself stays closed.
int refuse_other_files(AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) {
  return AVERROR(EPERM);
}

bool has_side_data(const AVStream* stream, AVPacketSideDataType type) {
  return av_stream_get_side_data(stream, type, nullptr) != nullptr;
}

// The EXIF orientation for the rotation a container tells; mirrored and slanted matrices are not applied.
int orientation_of(const AVStream* stream) {
  size_t size = 0;
  const uint8_t* data = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
  std::array<int32_t, 9> matrix{};
  if (data == nullptr || size < sizeof matrix) return 1;
  std::memcpy(matrix.data(), data, sizeof matrix);
  double degrees = av_display_rotation_get(matrix.data());  // counterclockwise, -180..180
  if (!std::isfinite(degrees)) return 1;
  switch (std::lround(degrees)) {
    case -90:
      return 6;
    case 90:
      return 8;
    case 180:
    case -180:
      return 3;
    default:
      return 1;
  }
}

}  // namespace

struct VideoStream::State {
  explicit State(const VideoSource& video)
      : source(video), input(video.bytes, video.deadline), frame_memory(video.memory) {}

  void open_container();
  void choose_stream();
  void open_decoder();
  bool next_packet();
  void send_packet();
  void check_frame();
  void check_time() const;
  void check_size(int64_t width, int64_t height) const;
  [[noreturn]] void refuse(int error) const;

  const VideoSource& source;
  MemoryInput input;
  std::unique_ptr<AVFormatContext, FreeFormat> format;
  AVStream* stream = nullptr;
  FrameMemory frame_memory;  // outlives all that holds a frame
  std::unique_ptr<AVCodecContext, FreeCodec> decoder;
  std::unique_ptr<AVPacket, FreePacket> packet{av_packet_alloc()};
  std::unique_ptr<AVFrame, FreeFrame> frame{av_frame_alloc()};
  RgbConverter converter;
  int64_t frames = 0;
  bool drained = false;
};

void VideoStream::State::refuse(int error) const {
  check_time();
  frame_memory.check();
  if (error == AVERROR(ENOMEM))
    fail(ErrorCode::limit, "{}: not enough memory to decode this video", source.name);
  fail(ErrorCode::media, "{}: damaged or unsupported video: {}", source.name, text_of(error));
}

void VideoStream::State::check_time() const {
  if (std::chrono::steady_clock::now() < source.deadline) return;
  fail(ErrorCode::limit, "{}: decoding took more than {} seconds", source.name,
       source.limits.max_seconds_spent);
}

void VideoStream::State::check_size(int64_t width, int64_t height) const {
  if (width <= source.limits.max_frame_pixels / std::max<int64_t>(height, 1)) return;
  fail(ErrorCode::limit, "{}: frames of {}x{} pixels, at most {} pixels allowed", source.name, width, height,
       source.limits.max_frame_pixels);
}

void VideoStream::State::open_container() {
  AVFormatContext* context = avformat_alloc_context();
  if (context == nullptr) refuse(AVERROR(ENOMEM));
  context->pb = input.context();
  context->flags |= AVFMT_FLAG_CUSTOM_IO;
  context->io_open = refuse_other_files;
  context->interrupt_callback = input.interrupt();
  context->format_whitelist = av_strdup(containers);
  // Otherwise the search for streams below would decode the beginning of each of them, whatever its codec and
  // the size of its frames: gigabytes for a file of kilobytes. Containers and parsers tell enough without.
  context->codec_whitelist = av_strdup("none");
  // Without the first list every container would be let in.
  if (context->format_whitelist == nullptr || context->codec_whitelist == nullptr) {
    avformat_free_context(context);
    refuse(AVERROR(ENOMEM));
  }
  int error = avformat_open_input(&context, nullptr, nullptr, nullptr);  // frees the context where it fails
  format.reset(error < 0 ? nullptr : context);
  if (error == AVERROR_INVALIDDATA || error == AVERROR(EINVAL)) {
    fail(ErrorCode::media,
         "{}: damaged or not a supported video, expected MP4/MOV, Matroska/WebM, AVI, MPEG, FLV or Ogg",
         source.name);
  }
  if (error < 0) refuse(error);
  error = avformat_find_stream_info(format.get(), nullptr);
  if (error < 0) refuse(error);
}

void VideoStream::State::choose_stream() {
  int index = av_find_best_stream(format.get(), AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
  if (index < 0) {
    fail(ErrorCode::media, "{}: no video among its {} streams", source.name, format->nb_streams);
  }
  stream = format->streams[index];
  if ((stream->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0) {
    fail(ErrorCode::media, "{}: no video among its {} streams, only a cover picture", source.name,
         format->nb_streams);
  }
  if (has_side_data(stream, AV_PKT_DATA_ENCRYPTION_INIT_INFO)) {
    fail(ErrorCode::media, "{}: the video is encrypted", source.name);
  }
  for (unsigned i = 0; i < format->nb_streams; ++i) {
    if (format->streams[i] != stream) format->streams[i]->discard = AVDISCARD_ALL;
  }
}

void VideoStream::State::open_decoder() {
  const AVCodecParameters& parameters = *stream->codecpar;
  bool supported = std::find(codecs.begin(), codecs.end(), parameters.codec_id) != codecs.end();
  const AVCodec* codec = supported ? avcodec_find_decoder(parameters.codec_id) : nullptr;
  if (codec == nullptr) {
    fail(ErrorCode::media, "{}: video codec {} is not supported", source.name,
         avcodec_get_name(parameters.codec_id));
  }
  check_size(parameters.width, parameters.height);
  decoder.reset(avcodec_alloc_context3(codec));
  if (!decoder || !packet || !frame) refuse(AVERROR(ENOMEM));
  int error = avcodec_parameters_to_context(decoder.get(), &parameters);
  if (error < 0) refuse(error);
  decoder->pkt_timebase = stream->time_base;
  decoder->max_pixels = source.limits.max_frame_pixels;
  decoder->thread_count = std::clamp(source.limits.decoder_threads, 1, 64);
  frame_memory.watch(*decoder);
  error = avcodec_open2(decoder.get(), codec, nullptr);
  if (error < 0) refuse(error);
}

// The next packet of the chosen stream that shows something; false at the end of the data.
bool VideoStream::State::next_packet() {
  while (true) {
    check_time();
    av_packet_unref(packet.get());
    int error = av_read_frame(format.get(), packet.get());
    if (error == AVERROR_EOF) return false;
    if (error < 0) refuse(error);
    if (packet->stream_index != stream->index || packet->size == 0) continue;
    if ((packet->flags & AV_PKT_FLAG_CORRUPT) != 0) {
      fail(ErrorCode::media, "{}: damaged video: cut off or garbled after frame {}", source.name, frames);
    }
    if (av_packet_get_side_data(packet.get(), AV_PKT_DATA_ENCRYPTION_INFO, nullptr) != nullptr) {
      fail(ErrorCode::media, "{}: the video is encrypted", source.name);
    }
    return true;
  }
}

void VideoStream::State::send_packet() {
  bool more = next_packet();
  drained = !more;
  int error = avcodec_send_packet(decoder.get(), more ? packet.get() : nullptr);
  if (error < 0) refuse(error);
}

void VideoStream::State::check_frame() {
  if (++frames > source.limits.max_frames_decoded) {
    fail(ErrorCode::limit, "{}: more than {} frames", source.name, source.limits.max_frames_decoded);
  }
  if (frame->decode_error_flags != 0 || (frame->flags & AV_FRAME_FLAG_CORRUPT) != 0) {
    fail(ErrorCode::media, "{}: damaged video: frame {} cannot be decoded in full", source.name, frames - 1);
  }
  check_size(frame->width, frame->height);
}

VideoStream::VideoStream(const VideoSource& source) : state_(std::make_unique<State>(source)) {
  silence_ffmpeg();
  state_->open_container();
  state_->choose_stream();
  state_->open_decoder();
}

VideoStream::~VideoStream() = default;

double VideoStream::frames_per_second() const {
  AVRational rate = state_->stream->avg_frame_rate;
  if (rate.num <= 0 || rate.den <= 0) rate = state_->stream->r_frame_rate;
  return rate.num > 0 && rate.den > 0 ? av_q2d(rate) : default_fps;
}

int64_t VideoStream::count_packets() {
  int64_t count = 0;
  while (state_->next_packet()) {
    if ((state_->packet->flags & AV_PKT_FLAG_DISCARD) != 0) continue;
    if (++count > state_->source.limits.max_frames_decoded) {
      fail(ErrorCode::limit, "{}: more than {} frames", state_->source.name,
           state_->source.limits.max_frames_decoded);
    }
  }
  return count;
}

bool VideoStream::next_frame() {
  State& state = *state_;
  while (true) {
    int error = avcodec_receive_frame(state.decoder.get(), state.frame.get());
    if (error == 0) {
      state.check_frame();
      return true;
    }
    if (error == AVERROR_EOF) return false;
    if (error != AVERROR(EAGAIN) || state.drained) state.refuse(error);
    state.send_packet();
  }
}

Image VideoStream::image() {
  auto image = state_->converter.to_rgb(*state_->frame, state_->source.memory);
  if (!image) {
    fail(ErrorCode::media, "{}: frames in pixel format {} cannot be turned into RGB", state_->source.name,
         pixel_format_name(*state_->frame));
  }
  return apply_orientation(std::move(*image), orientation_of(state_->stream));
}

}  // namespace qvl
