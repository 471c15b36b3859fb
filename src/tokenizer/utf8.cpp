#include "tokenizer/utf8.h"

namespace qvl {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// The shape of a character by its first byte: its length, and the range of its second byte, which is what
// excludes overlong forms, surrogates and code points beyond U+10FFFF (Unicode Standard, table 3-7).
struct Lead {
  size_t length;  // 0: no character begins so
  unsigned char second_min = 0x80;
  unsigned char second_max = 0xBF;
};

Lead lead_of(unsigned char byte) {
  if (byte < 0x80) return {.length = 1};
  if (byte < 0xC2) return {.length = 0};
  if (byte < 0xE0) return {.length = 2};
  if (byte == 0xE0) return {.length = 3, .second_min = 0xA0};
  if (byte == 0xED) return {.length = 3, .second_max = 0x9F};
  if (byte < 0xF0) return {.length = 3};
  if (byte == 0xF0) return {.length = 4, .second_min = 0x90};
  if (byte < 0xF4) return {.length = 4};
  if (byte == 0xF4) return {.length = 4, .second_max = 0x8F};
  return {.length = 0};
}

}  // namespace

Utf8Unit read_utf8(std::string_view text, size_t position) {
  Lead lead = lead_of(static_cast<unsigned char>(text[position]));
  if (lead.length == 0) return {.kind = Utf8Unit::Kind::invalid};
  for (size_t i = 1; i < lead.length; ++i) {
    if (position + i == text.size()) return {.kind = Utf8Unit::Kind::unfinished, .length = i};
    auto byte = static_cast<unsigned char>(text[position + i]);
    unsigned char min = i == 1 ? lead.second_min : 0x80;
    unsigned char max = i == 1 ? lead.second_max : 0xBF;
    if (byte < min || byte > max) return {.kind = Utf8Unit::Kind::invalid, .length = i};
  }
  char32_t code_point = next_code_point(text, position);
  return {.kind = Utf8Unit::Kind::character, .code_point = code_point, .length = lead.length};
}

void append_utf8(std::string& text, char32_t code_point) {
  auto continuation = [&](int shift) { return static_cast<char>(0x80 | ((code_point >> shift) & 0x3F)); };
  if (code_point < 0x80) {
    text += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    text += {static_cast<char>(0xC0 | code_point >> 6), continuation(0)};
  } else if (code_point < 0x10000) {
    text += {static_cast<char>(0xE0 | code_point >> 12), continuation(6), continuation(0)};
  } else {
    text += {static_cast<char>(0xF0 | code_point >> 18), continuation(12), continuation(6), continuation(0)};
  }
}

std::optional<size_t> find_invalid_utf8(std::string_view text) {
  size_t position = 0;
  while (position < text.size()) {
    if (static_cast<unsigned char>(text[position]) < 0x80) {
      ++position;
      continue;
    }
    Utf8Unit unit = read_utf8(text, position);
    if (unit.kind != Utf8Unit::Kind::character) return position;
    position += unit.length;
  }
  return std::nullopt;
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  append_valid_utf8(text, bytes);
  return text;
}

void append_valid_utf8(std::string& text, std::string_view bytes) {
  for (size_t position = 0; position < bytes.size();) {
    Utf8Unit unit = read_utf8(bytes, position);
    text += unit.kind == Utf8Unit::Kind::character ? bytes.substr(position, unit.length) : kReplacement;
    position += unit.length;
  }
}

}  // namespace qvl
