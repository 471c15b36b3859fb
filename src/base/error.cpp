#include "base/error.h"

#include <cstdio>
#include <cstdlib>

namespace qvl {
namespace {

// Bytes of the UTF-8 character at the start of `text`; 0 where there is none.
size_t character_bytes(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t bytes = lead < 0x80   ? 1
                       : lead < 0xC2 ? 0
                       : lead < 0xE0 ? 2
                       : lead < 0xF0 ? 3
                       : lead < 0xF5 ? 4
                                     : 0;
  if (bytes > text.size()) return 0;
  for (size_t i = 1; i < bytes; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) return 0;
  }
  return bytes;
}

}  // namespace

std::string printable(std::string_view text, size_t max_bytes) {
  std::string out;
  size_t end = text.size();
  if (end > max_bytes) {
    end = max_bytes;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
      --end;  // not inside a character
  }
  for (std::string_view rest = text.substr(0, end); !rest.empty();) {
    const auto c = static_cast<unsigned char>(rest[0]);
    const size_t bytes = character_bytes(rest);
    if (bytes == 0 || c < 0x20 || c == 0x7F) {
      out += fmt::format("\\x{:02x}", c);
      rest.remove_prefix(1);
    } else {
      out += rest.substr(0, bytes);
      rest.remove_prefix(bytes);
    }
  }
  if (end < text.size()) out += "...";
  return out;
}

namespace detail {
void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "qvl: internal error: %s does not hold (%s:%d)\n", condition, file, line);
  std::abort();
}
}  // namespace detail

}  // namespace qvl
