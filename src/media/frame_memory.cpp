#include "media/frame_memory.h"

#include <algorithm>
#include <memory>
#include <new>

extern "C" {
#include <libavcodec/avcodec.h>
}

namespace qvl {
namespace {

// Contexts, tables and packets of a decoder and a container, and the code of FFmpeg that comes into memory.
constexpr uint64_t kDecoderBytes = uint64_t{5} << 20;
// 4:2:0 with more than 8 bits, the most that AV1's main profile has for a pixel.
constexpr int64_t kAv1BytesPerPixel = 3;
// Eight that others refer to, one in the making, one shown.
constexpr int64_t kAv1Frames = 10;

uint64_t bytes_of(const AVFrame& frame) {
  uint64_t bytes = 0;
  for (const AVBufferRef* buffer : frame.buf) bytes += buffer != nullptr ? buffer->size : 0;
  return bytes;
}

}  // namespace

void FrameMemory::watch(AVCodecContext& decoder) {
  decoder.opaque = this;
  decoder.get_buffer2 = get_buffer;
  take(kDecoderBytes);
  if (decoder.codec_id != AV_CODEC_ID_AV1) return;
  const int64_t pixels = int64_t{std::max(decoder.width, 0)} * std::max(decoder.height, 0);
  take(static_cast<uint64_t>(pixels * kAv1BytesPerPixel * kAv1Frames));
}

void FrameMemory::check() const {
  const std::lock_guard lock(mutex_);
  if (refused_) std::rethrow_exception(refused_);
}

void FrameMemory::take(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (held_ + bytes > most_) {
    charged_.push_back(home_.charge(held_ + bytes - most_));
    most_ = held_ + bytes;
  }
  held_ += bytes;
}

// FFmpeg carries a reference to whatever opaque_ref names along with every reference to a frame, and ends it
// with the last one.
int FrameMemory::get_buffer(AVCodecContext* decoder, AVFrame* frame, int flags) noexcept {
  auto& frames = *static_cast<FrameMemory*>(decoder->opaque);
  const int error = avcodec_default_get_buffer2(decoder, frame, flags);
  if (error < 0) return error;
  try {
    auto taken = std::make_unique<Taken>(Taken{.frames = &frames});
    frames.take(bytes_of(*frame));
    taken->bytes = bytes_of(*frame);
    frame->opaque_ref =
        av_buffer_create(&taken->unused, sizeof taken->unused, let_go, taken.get(), AV_BUFFER_FLAG_READONLY);
    if (frame->opaque_ref == nullptr) throw std::bad_alloc();
    (void)taken.release();  // let_go takes it back
    return 0;
  } catch (...) {
    const std::lock_guard lock(frames.mutex_);
    frames.refused_ = std::current_exception();
  }
  av_frame_unref(frame);
  return AVERROR(ENOMEM);
}

void FrameMemory::let_go(void* taken, uint8_t*) noexcept {
  const std::unique_ptr<Taken> done(static_cast<Taken*>(taken));
}

FrameMemory::Taken::~Taken() {
  const std::lock_guard lock(frames->mutex_);
  frames->held_ -= bytes;
}

}  // namespace qvl
