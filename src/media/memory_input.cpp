#include "media/memory_input.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>

extern "C" {
#include <libavutil/error.h>
#include <libavutil/mem.h>
}

namespace qvl {

constexpr int buffer_bytes = 32 << 10;

MemoryInput::MemoryInput(std::span<const std::byte> bytes, std::chrono::steady_clock::time_point deadline)
    : bytes_(bytes), deadline_(deadline) {
  auto* buffer = static_cast<uint8_t*>(av_malloc(buffer_bytes));
  if (buffer == nullptr) throw std::bad_alloc();
  context_ = avio_alloc_context(buffer, buffer_bytes, 0, this, read, nullptr, seek);
  if (context_ == nullptr) {
    av_free(buffer);
    throw std::bad_alloc();
  }
}

MemoryInput::~MemoryInput() {
  av_freep(&context_->buffer);  // may have been replaced by a larger one
  avio_context_free(&context_);
}

AVIOInterruptCB MemoryInput::interrupt() { return {.callback = is_late, .opaque = this}; }

int MemoryInput::is_late(void* self) {
  return std::chrono::steady_clock::now() >= static_cast<MemoryInput*>(self)->deadline_ ? 1 : 0;
}

int MemoryInput::read(void* self, uint8_t* out, int wanted) {
  auto& input = *static_cast<MemoryInput*>(self);
  if (is_late(self) != 0) return AVERROR_EXIT;
  int64_t left = static_cast<int64_t>(input.bytes_.size()) - input.position_;
  int64_t count = std::min<int64_t>(left, wanted);
  if (count <= 0) return AVERROR_EOF;
  std::memcpy(out, input.bytes_.data() + input.position_, static_cast<size_t>(count));
  input.position_ += count;
  return static_cast<int>(count);
}

int64_t MemoryInput::seek(void* self, int64_t offset, int whence) {
  auto& input = *static_cast<MemoryInput*>(self);
  auto size = static_cast<int64_t>(input.bytes_.size());
  int64_t target = offset;
  switch (whence & ~AVSEEK_FORCE) {
    case AVSEEK_SIZE:
      return size;
    case SEEK_SET:
      break;
    case SEEK_CUR:
      if (__builtin_add_overflow(offset, input.position_, &target)) return AVERROR(EINVAL);
      break;
    case SEEK_END:
      if (__builtin_add_overflow(offset, size, &target)) return AVERROR(EINVAL);
      break;
    default:
      return AVERROR(EINVAL);
  }
  if (target < 0 || target > size) return AVERROR(EINVAL);
  input.position_ = target;
  return target;
}

}  // namespace qvl
