// Bytes in memory as the input of FFmpeg's demuxers, with an end to their patience.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

extern "C" {
#include <libavformat/avio.h>
}

namespace qvl {

/// Feeds a demuxer from borrowed bytes; reading fails once the deadline has passed. Thread-compatible.
class MemoryInput {
 public:
  MemoryInput(std::span<const std::byte> bytes, std::chrono::steady_clock::time_point deadline);
  ~MemoryInput();
  MemoryInput(const MemoryInput&) = delete;
  MemoryInput& operator=(const MemoryInput&) = delete;

  AVIOContext* context() { return context_; }
  /// Tells loops inside FFmpeg that time is up.
  AVIOInterruptCB interrupt();

 private:
  static int read(void* self, uint8_t* out, int wanted);
  static int64_t seek(void* self, int64_t offset, int whence);
  static int is_late(void* self);

  std::span<const std::byte> bytes_;
  std::chrono::steady_clock::time_point deadline_;
  int64_t position_ = 0;
  AVIOContext* context_ = nullptr;
};

}  // namespace qvl
