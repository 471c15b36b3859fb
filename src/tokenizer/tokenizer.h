// Byte-level BPE of Qwen2/Qwen3: text to ids and back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/token_id.h"

namespace qvl {

/// A token matched on the raw text before anything else.
struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool special = false;  ///< dropped from decoded answers
};

/// What a tokenizer is made of, from whichever file.
struct TokenizerSpec {
  std::vector<std::string> vocabulary;  ///< by id, in the byte-level alphabet; empty: unused id
  std::vector<std::pair<std::string, std::string>> merges;  ///< by rank
  std::vector<AddedToken> added;
  std::string source = "tokenizer";  ///< the file, for messages
};

/// Reads tokenizer.json (or vocab.json and merges.txt, with added tokens from tokenizer_config.json) of a
/// folder. Throws Error{model_file}: not there, malformed, an unknown component by name, ids out of range or
/// given twice.
TokenizerSpec read_tokenizer_folder(const std::filesystem::path& folder);

enum class ControlTokens {
  plain_text,  ///< "<|im_start|>" in the text is spelled out in ordinary tokens
  parse,       ///< added tokens are recognised
};

struct TokenizerData;

/// Immutable after construction, thread-safe.
class Tokenizer {
 public:
  /// Checks the spec. Throws Error{model_file} for a merge with an unknown piece or given twice, duplicate
  /// content, ids beyond the limits, a byte of the alphabet that is missing.
  explicit Tokenizer(TokenizerSpec spec);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;

  /// Ids of `text` (UTF-8) in form C. O(n log n) at worst. Throws Error{usage} "byte N: not valid UTF-8".
  std::vector<TokenId> encode(std::string_view text, ControlTokens control) const;

  /// Pieces that together make one text: added tokens are recognised in trusted pieces only (neighbouring
  /// trusted pieces count as one), while form C and the words are found as if all were one string, as the
  /// reference does for a rendered chat template.
  struct Piece {
    std::string_view text;
    ControlTokens control;
  };
  std::vector<TokenId> encode(std::span<const Piece> pieces) const;

  /// The bytes of one token: the text of an added token, else the bytes behind its alphabet. Throws
  /// Error{usage} for an id beyond the vocabulary.
  std::string_view bytes(TokenId id) const;
  /// The text of all ids; bytes that are no UTF-8 become U+FFFD. Special tokens are dropped with
  /// Special::skip. An id beyond the vocabulary has no text: models have more rows than tokens.
  enum class Special { keep, skip };
  std::string decode(std::span<const TokenId> ids, Special special) const;

  bool is_special(TokenId id) const;
  size_t vocabulary_size() const;  ///< highest id + 1
  /// The id of an added token by its text.
  std::optional<TokenId> find_added(std::string_view content) const;

 private:
  std::unique_ptr<const TokenizerData> data_;
};

/// Turns a stream of tokens into complete characters: bytes of an unfinished UTF-8 character wait for the
/// next token. Thread-compatible. Texts are valid until the next call; their memory is kept, so that after
/// the longest token nothing is allocated.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  /// Text that became complete with this token; special tokens and ids beyond the vocabulary give none. All
  /// texts together are decode(ids, Special::skip).
  std::string_view add(TokenId id);
  /// What still waited, as U+FFFD.
  std::string_view finish();

 private:
  const Tokenizer& tokenizer_;
  std::string pending_, text_;
};

}  // namespace qvl
