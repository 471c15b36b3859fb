#include "base/error.h"

#include <cstdio>
#include <cstdlib>

namespace qvl {

std::string printable(std::string_view text, size_t max_bytes) {
  std::string out;
  size_t end = text.size();
  if (end > max_bytes) {
    end = max_bytes;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
      --end;  // not inside a character
  }
  for (unsigned char c : text.substr(0, end)) {
    if (c < 0x20 || c == 0x7F) {
      out += fmt::format("\\x{:02x}", c);
    } else {
      out += static_cast<char>(c);
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
