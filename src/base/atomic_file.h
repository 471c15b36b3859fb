// Writing a file so that others see the old one or the whole new one, never a part.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace qvl {

/// A new file beside `path` that takes its place at commit(). Without commit() nothing is left of it. Only
/// its owner may read it. Thread-compatible.
class AtomicFile {
 public:
  /// All functions throw Error{code} "PATH: cannot write: cause".
  AtomicFile(const std::filesystem::path& path, ErrorCode code);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Collects up to 64 KiB before it writes.
  void write(std::string_view bytes);
  /// The same in pieces, of which it keeps one at a time.
  void write(std::span<const std::byte> bytes);
  /// Writes the rest, waits until the disk has it, and puts the file in place of the old one.
  void commit();

 private:
  void flush();
  [[noreturn]] void refuse(int error) const;

  std::filesystem::path path_;
  ErrorCode code_;
  std::string temporary_;  // empty once it is renamed
  int fd_ = -1;
  std::string buffer_;
};

}  // namespace qvl
