#include "tokenizer/piece_index.h"

#include <bit>
#include <functional>

namespace qvl {
namespace {

uint64_t hash_of(std::string_view piece) { return std::hash<std::string_view>()(piece); }

// Of the bits that do not choose the slot.
uint32_t tag_of(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }

}  // namespace

PieceIndex::PieceIndex(const std::vector<std::string>& by_id)
    : by_id_(by_id), slots_(std::bit_ceil(2 * by_id.size() + 2)) {}

size_t PieceIndex::slot_of(std::string_view piece, uint64_t hash) const {
  const size_t mask = slots_.size() - 1;
  for (size_t slot = hash & mask;; slot = (slot + 1) & mask) {
    const Slot& found = slots_[slot];
    if (found.id == kFree) return slot;
    if (found.tag == tag_of(hash) && by_id_[static_cast<size_t>(found.id)] == piece) return slot;
  }
}

std::optional<TokenId> PieceIndex::insert(TokenId id) {
  const std::string& piece = by_id_[static_cast<size_t>(id)];
  const uint64_t hash = hash_of(piece);
  Slot& slot = slots_[slot_of(piece, hash)];
  if (slot.id != kFree) return slot.id;
  slot = {.tag = tag_of(hash), .id = id};
  return std::nullopt;
}

std::optional<TokenId> PieceIndex::find(std::string_view piece) const {
  const Slot& slot = slots_[slot_of(piece, hash_of(piece))];
  if (slot.id == kFree) return std::nullopt;
  return slot.id;
}

}  // namespace qvl
