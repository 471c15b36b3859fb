#include "tokenizer/byte_alphabet.h"

#include <array>

#include "tokenizer/utf8.h"

namespace qvl {
namespace {

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr char32_t kFirstSubstitute = 0x100;
constexpr size_t kSubstitutes = 68;

struct Alphabet {
  std::array<char32_t, 256> of_byte{};
  std::array<unsigned char, kSubstitutes> of_substitute{};
};

constexpr Alphabet make_alphabet() {
  Alphabet alphabet;
  size_t substitutes = 0;
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (stands_for_itself(byte)) {
      alphabet.of_byte[byte] = byte;
    } else {
      alphabet.of_byte[byte] = kFirstSubstitute + static_cast<char32_t>(substitutes);
      alphabet.of_substitute[substitutes++] = static_cast<unsigned char>(byte);
    }
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

char32_t byte_to_alphabet(unsigned char byte) { return kAlphabet.of_byte[byte]; }

std::optional<std::string> alphabet_to_bytes(std::string_view piece) {
  std::string bytes;
  bytes.reserve(piece.size());
  for (size_t position = 0; position < piece.size();) {
    Utf8Unit unit = read_utf8(piece, position);
    if (unit.kind != Utf8Unit::Kind::character) return std::nullopt;
    position += unit.length;
    char32_t code_point = unit.code_point;
    if (code_point < kFirstSubstitute && stands_for_itself(code_point)) {
      bytes += static_cast<char>(code_point);
    } else if (code_point >= kFirstSubstitute && code_point < kFirstSubstitute + kSubstitutes) {
      bytes += static_cast<char>(kAlphabet.of_substitute[code_point - kFirstSubstitute]);
    } else {
      return std::nullopt;
    }
  }
  return bytes;
}

}  // namespace qvl
