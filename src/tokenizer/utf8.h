// Reading UTF-8 one character at a time, and what to do with bytes that are none.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace qvl {

/// What stands at one place of a byte string.
struct Utf8Unit {
  enum class Kind {
    character,   ///< one character
    unfinished,  ///< the text ends inside a character that is well-formed so far
    invalid,     ///< bytes no character begins with
  };
  Kind kind = Kind::invalid;
  char32_t code_point = 0;  ///< for Kind::character
  size_t length =
      1;  ///< bytes; of an invalid or unfinished unit the maximal subpart, one U+FFFD stands for it
};

/// The unit at `position`, which lies inside `text`.
Utf8Unit read_utf8(std::string_view text, size_t position);

/// The character at `position` of text known to be valid; `position` moves behind it.
inline char32_t next_code_point(std::string_view text, size_t& position) {
  auto byte = [&](size_t offset) { return static_cast<unsigned char>(text[position + offset]); };
  unsigned char lead = byte(0);
  if (lead < 0x80) {
    ++position;
    return lead;
  }
  char32_t code_point = 0;
  if (lead < 0xE0) {
    code_point = static_cast<char32_t>((lead & 0x1F) << 6 | (byte(1) & 0x3F));
    position += 2;
  } else if (lead < 0xF0) {
    code_point = static_cast<char32_t>((lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F));
    position += 3;
  } else {
    code_point = static_cast<char32_t>((lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 |
                                       (byte(3) & 0x3F));
    position += 4;
  }
  return code_point;
}

void append_utf8(std::string& text, char32_t code_point);

/// The offset of the first byte that belongs to no whole character, if any.
std::optional<size_t> find_invalid_utf8(std::string_view text);

/// `bytes` with every maximal subpart that is no character replaced by one U+FFFD.
std::string replace_invalid_utf8(std::string_view bytes);
/// The same behind `text`.
void append_valid_utf8(std::string& text, std::string_view bytes);

}  // namespace qvl
