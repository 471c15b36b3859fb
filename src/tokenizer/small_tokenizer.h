// A tokenizer small enough to follow by hand, for tests.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

namespace qvl {

/// Byte b is token b; then one token for each merge in order; then <|im_start|> and <|image_pad|> (special),
/// <think> and <think>x (not special).
inline TokenizerSpec small_tokenizer_spec(std::vector<std::pair<std::string, std::string>> merges = {}) {
  TokenizerSpec spec;
  for (int byte = 0; byte < 256; ++byte) {
    std::string letter;
    append_utf8(letter, byte_to_alphabet(static_cast<unsigned char>(byte)));
    spec.vocabulary.push_back(letter);
  }
  for (const auto& [left, right] : merges) spec.vocabulary.push_back(left + right);
  spec.merges = std::move(merges);
  auto id = static_cast<TokenId>(spec.vocabulary.size());
  spec.added = {{.id = id, .content = "<|im_start|>", .special = true},
                {.id = id + 1, .content = "<|image_pad|>", .special = true},
                {.id = id + 2, .content = "<think>", .special = false},
                {.id = id + 3, .content = "<think>x", .special = false}};
  return spec;
}

/// The ids of the bytes of `text`, which small_tokenizer_spec gives text without merges.
inline std::vector<TokenId> byte_ids(std::string_view text) {
  std::vector<TokenId> ids;
  for (char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

}  // namespace qvl
