// The byte-level alphabet: each byte as one printable character, as vocabularies of byte-level BPE are
// written.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace qvl {

/// The character that stands for `byte`: itself where printable in Latin-1, else U+0100 and up in increasing
/// order.
char32_t byte_to_alphabet(unsigned char byte);

/// The bytes behind `piece`, or nothing where it has a character outside the alphabet.
std::optional<std::string> alphabet_to_bytes(std::string_view piece);

}  // namespace qvl
