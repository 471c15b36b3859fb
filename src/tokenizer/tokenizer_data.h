// The checked tables behind a tokenizer.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/tokenizer.h"

namespace qvl {

/// Immutable, thread-safe.
struct TokenizerData {
  struct Token {
    std::string bytes;  ///< empty: unused id
    bool special = false;
  };

  bool contains(TokenId id) const { return id >= 0 && static_cast<size_t>(id) < tokens.size(); }

  std::vector<Token> tokens;            ///< by id
  std::array<TokenId, 256> byte_ids{};  ///< the token of each single byte
  MergeTable merges;
  AddedTokenMatcher added;
};

/// Checks the spec: see Tokenizer's constructor for what is refused.
TokenizerData make_tokenizer_data(TokenizerSpec spec);

}  // namespace qvl
