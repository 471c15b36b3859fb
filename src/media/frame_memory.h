// What the frames of a video decoder take, set down while FFmpeg's own allocator holds them.
#pragma once

#include <cstdint>
#include <exception>
#include <mutex>
#include <vector>

#include "memory/memory_home.h"

struct AVCodecContext;
struct AVFrame;

namespace qvl {

/// The account of one decoder's frames: those it refers back to, and those not shown yet. FFmpeg keeps the
/// buffers of frames it has let go of until the decoder is gone, so the most that was held at once counts for
/// as long as this lives, which is longer than decoder and frames. Thread-safe, as decoders with threads need
/// it.
class FrameMemory {
 public:
  explicit FrameMemory(MemoryHome home) : home_(home) {}
  FrameMemory(const FrameMemory&) = delete;
  FrameMemory& operator=(const FrameMemory&) = delete;

  /// Counts what `decoder`, which is not open yet, takes through FFmpeg's allocator, and a fixed sum for what
  /// it takes besides. A library with an allocator of its own (dav1d) is set down with all the frames its
  /// format may refer to. Throws MemoryRefused for the sum and those.
  void watch(AVCodecContext& decoder);
  /// Throws the MemoryRefused of a frame for which there was no room: to the decoder it was an ENOMEM.
  void check() const;

 private:
  // Of one frame, given back with it.
  struct Taken {
    FrameMemory* frames;
    uint64_t bytes = 0;
    uint8_t unused = 0;  // FFmpeg wants a pointer to bytes
    ~Taken();
  };
  static int get_buffer(AVCodecContext* decoder, AVFrame* frame, int flags) noexcept;
  static void let_go(void* taken, uint8_t*) noexcept;
  void take(uint64_t bytes);

  const MemoryHome home_;
  mutable std::mutex mutex_;
  uint64_t held_ = 0, most_ = 0;      // bytes
  std::vector<Reservation> charged_;  // most_ together
  std::exception_ptr refused_;
};

}  // namespace qvl
