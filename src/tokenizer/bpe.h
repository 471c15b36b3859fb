// Byte-pair merging of one word by rank, in O(n log n).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "tokenizer/token_id.h"

namespace qvl {

/// What becomes of two neighbours.
struct Merge {
  int32_t rank = 0;  ///< the lowest is applied first
  TokenId merged = 0;
};

/// Merges by the pair of their parts. Immutable once filled, thread-safe then.
class MergeTable {
 public:
  /// Room for `count` merges.
  explicit MergeTable(size_t count);
  /// False where the pair is there already. At most `count` times.
  bool insert(TokenId left, TokenId right, Merge merge);
  const Merge* find(TokenId left, TokenId right) const;

 private:
  struct Slot {
    uint64_t pair = kFree;
    Merge merge;
  };
  static constexpr uint64_t kFree = UINT64_MAX;  // no pair of ids: ids are not negative

  size_t slot_of(uint64_t pair) const;
  std::vector<Slot> slots_;  // a power of two, at most half full: open addressing
  int shift_;
};

/// The merging itself with its working memory. Borrows the tables. Thread-compatible: one for each call.
class BytePairEncoder {
 public:
  BytePairEncoder(const std::array<TokenId, 256>& byte_ids, const MergeTable& merges)
      : byte_ids_(byte_ids), merges_(merges) {}

  /// Appends the ids of `word`, which is not empty.
  void encode(std::string_view word, std::vector<TokenId>& ids);

 private:
  // A symbol of the word, in a list linked by index; `next` is one behind the last symbol at the end of the
  // list.
  struct Symbol {
    TokenId id;
    uint32_t previous;
    uint32_t next;
  };
  // A merge that was possible when it was noted; `left` and `right` tell whether it still is.
  struct Candidate {
    Merge merge;
    uint32_t position;
    TokenId left;
    TokenId right;
  };
  static bool later(const Candidate& a, const Candidate& b);

  void note(uint32_t position);
  void apply(const Candidate& candidate);

  const std::array<TokenId, 256>& byte_ids_;
  const MergeTable& merges_;
  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
};

}  // namespace qvl
