// Reading a picture or a video from disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "memory/memory_home.h"

namespace qvl {

/// The bytes of a local regular file or of one in memory, set down in `memory` for as long as it lives.
/// Immutable.
class MediaFile {
 public:
  /// Throws Error{limit} above `max_bytes` or where `memory` has no room, Error{media} where it cannot be
  /// read.
  MediaFile(const std::filesystem::path& path, uint64_t max_bytes, MemoryHome memory);
  /// A copy of `file`, which is `name` in messages.
  struct InMemory {
    std::string_view name;
    std::span<const std::byte> file;
  };
  MediaFile(const InMemory& source, uint64_t max_bytes, MemoryHome memory);
  std::span<const std::byte> bytes() const { return std::as_bytes(std::span(bytes_)); }

 private:
  Reservation charge_;
  std::string bytes_;
};

}  // namespace qvl
