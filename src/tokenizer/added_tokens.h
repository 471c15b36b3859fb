// Finds added tokens in raw text: leftmost, and of those the longest.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/token_id.h"

namespace qvl {

/// An added token is no longer than this, which bounds the work at each place of a text.
inline constexpr size_t kMaxAddedTokenBytes = 256;

/// Immutable, thread-safe.
class AddedTokenMatcher {
 public:
  struct Entry {
    std::string content;
    TokenId id;
  };
  /// Contents are not empty and differ from each other.
  explicit AddedTokenMatcher(std::vector<Entry> entries);

  /// The longest token that begins at `position` of `text`, if any.
  const Entry* match(std::string_view text, size_t position) const;
  std::optional<TokenId> find(std::string_view content) const;

 private:
  std::vector<Entry> entries_;  // in the order of their contents
  std::array<bool, 256> begins_{};
};

}  // namespace qvl
