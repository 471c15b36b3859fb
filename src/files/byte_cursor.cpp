#include "files/byte_cursor.h"

#include "base/error.h"

namespace qvl {

uint64_t little_endian(std::span<const std::byte> bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | std::to_integer<uint64_t>(bytes[i]);
  return value;
}

uint32_t ByteCursor::u32(std::string_view what) {
  return static_cast<uint32_t>(little_endian(take(4, what)));
}

uint64_t ByteCursor::u64(std::string_view what) { return little_endian(take(8, what)); }

std::span<const std::byte> ByteCursor::take(uint64_t count, std::string_view what) {
  field_ = position_;
  if (count > left()) refuse(what, fmt::format("{} bytes needed, {} left in the file", count, left()));
  auto taken = bytes_.subspan(position_, count);
  position_ += count;
  return taken;
}

std::string_view ByteCursor::string(uint64_t max_bytes, std::string_view what) {
  uint64_t length = u64(what);
  if (length > max_bytes) refuse(what, fmt::format("length {}, at most {} allowed", length, max_bytes));
  auto bytes = take(length, what);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void ByteCursor::refuse(std::string_view what, std::string_view why) const {
  fail(ErrorCode::model_file, "{}: byte {}: {}: {}", file_, field_, what, why);
}

bool is_utf8(std::string_view bytes) {
  size_t i = 0;
  while (i < bytes.size()) {
    auto lead = static_cast<unsigned char>(bytes[i++]);
    if (lead < 0x80) continue;
    if (lead < 0xC2 || lead > 0xF4) return false;
    size_t following = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    if (following > bytes.size() - i) return false;
    // The second byte rules out overlong forms, surrogates and what lies beyond U+10FFFF.
    auto second = static_cast<unsigned char>(bytes[i]);
    unsigned char least = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    unsigned char most = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (second < least || second > most) return false;
    for (size_t k = 1; k < following; ++k) {
      if ((static_cast<unsigned char>(bytes[i + k]) & 0xC0) != 0x80) return false;
    }
    i += following;
  }
  return true;
}

}  // namespace qvl
