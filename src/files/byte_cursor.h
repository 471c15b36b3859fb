// Reading little-endian numbers and strings from bytes that may end too early.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace qvl {

/// A place in the bytes of a file. Every read is checked against what is left and throws Error{model_file}
/// "FILE: byte N: WHAT: ..." where it would pass the end. Borrowed: bytes and file name outlive it.
class ByteCursor {
 public:
  ByteCursor(std::span<const std::byte> bytes, std::string_view file) : bytes_(bytes), file_(file) {}

  uint32_t u32(std::string_view what);
  uint64_t u64(std::string_view what);
  /// The next `count` bytes.
  std::span<const std::byte> take(uint64_t count, std::string_view what);
  /// A length of 64 bits and as many bytes, at most `max_bytes`.
  std::string_view string(uint64_t max_bytes, std::string_view what);

  uint64_t position() const { return position_; }
  uint64_t left() const { return bytes_.size() - position_; }
  [[noreturn]] void refuse(std::string_view what, std::string_view why) const;

 private:
  std::span<const std::byte> bytes_;
  std::string_view file_;
  uint64_t position_ = 0;
  uint64_t field_ = 0;  // where what was read last begins
};

/// Little-endian number of up to 8 bytes.
uint64_t little_endian(std::span<const std::byte> bytes);

/// Whether `bytes` are well-formed UTF-8: no overlong forms, no surrogates, nothing beyond U+10FFFF.
bool is_utf8(std::string_view bytes);

}  // namespace qvl
