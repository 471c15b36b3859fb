// Lines of a file or pipe of any size, read as they come.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "file_descriptor.h"

namespace qvl::cli {

struct TextLine {
  enum class Length {
    whole,
    too_long,  ///< `text` is empty: more bytes than allowed
  };
  enum class End { newline, file };
  int64_t number = 0;     ///< in the file, from 1 on
  std::string text = {};  ///< without its end, "\n" or "\r\n", and without a byte order mark
  Length length = Length::whole;
  End end = End::newline;
  uint64_t fingerprint = 0;  ///< of all its bytes without its end (FNV-1a)
  uint64_t offset = 0;       ///< of its first byte
};

/// Memory is bounded by the longest line allowed. Thread-compatible.
class LineReader {
 public:
  /// `name` is for messages.
  LineReader(FileDescriptor file, std::string name, size_t max_line_bytes)
      : file_(std::move(file)), name_(std::move(name)), max_bytes_(max_line_bytes) {}

  /// The next line that is not blank; nothing at the end, and after an interrupt. Throws Error{usage} where
  /// the file cannot be read.
  std::optional<TextLine> next();
  /// Whether next() would not wait for whoever writes into a pipe.
  bool ready();
  int fd() const { return file_.get(); }

 private:
  bool fill();
  TextLine take();

  FileDescriptor file_;
  std::string name_;
  size_t max_bytes_;
  std::string buffer_;
  size_t used_ = 0;  // of buffer_
  int64_t lines_ = 0;
  uint64_t offset_ = 0;
  bool ended_ = false;
};

}  // namespace qvl::cli
