// Finds the pieces of a vocabulary by their text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/token_id.h"

namespace qvl {

/// Open addressing with a part of the hash beside each id: two places of memory for a look-up, of which a
/// tokenizer makes three for each of its merges. Borrows the pieces. Thread-compatible.
class PieceIndex {
 public:
  /// Empty; takes each of `by_id` once.
  explicit PieceIndex(const std::vector<std::string>& by_id);

  /// Adds the piece of `id`, or gives the id of an equal piece that is there already.
  std::optional<TokenId> insert(TokenId id);
  std::optional<TokenId> find(std::string_view piece) const;

 private:
  struct Slot {
    uint32_t tag = 0;
    TokenId id = kFree;
  };
  static constexpr TokenId kFree = -1;

  size_t slot_of(std::string_view piece, uint64_t hash) const;

  const std::vector<std::string>& by_id_;
  std::vector<Slot> slots_;  // a power of two, at most half full
};

}  // namespace qvl
