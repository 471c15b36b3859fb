#include "tokenizer/bpe.h"

#include <algorithm>
#include <bit>

#include "base/error.h"

namespace qvl {
namespace {

constexpr TokenId kAbsorbed = -1;  // a symbol that became part of its left neighbour

uint64_t pair_of(TokenId left, TokenId right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

MergeTable::MergeTable(size_t count)
    : slots_(std::bit_ceil(2 * count + 2)), shift_(64 - std::countr_zero(slots_.size())) {}

size_t MergeTable::slot_of(uint64_t pair) const {
  // Multiplicative hashing: the upper bits of the product depend on all bits of the pair.
  size_t slot = (pair * 0x9E3779B97F4A7C15u) >> shift_;
  while (slots_[slot].pair != pair && slots_[slot].pair != kFree) slot = (slot + 1) & (slots_.size() - 1);
  return slot;
}

bool MergeTable::insert(TokenId left, TokenId right, Merge merge) {
  Slot& slot = slots_[slot_of(pair_of(left, right))];
  if (slot.pair != kFree) return false;
  slot = {.pair = pair_of(left, right), .merge = merge};
  return true;
}

const Merge* MergeTable::find(TokenId left, TokenId right) const {
  const Slot& slot = slots_[slot_of(pair_of(left, right))];
  return slot.pair == kFree ? nullptr : &slot.merge;
}

bool BytePairEncoder::later(const Candidate& a, const Candidate& b) {
  if (a.merge.rank != b.merge.rank) return a.merge.rank > b.merge.rank;
  return a.position > b.position;
}

void BytePairEncoder::note(uint32_t position) {
  uint32_t next = symbols_[position].next;
  if (next == symbols_.size()) return;
  TokenId left = symbols_[position].id;
  TokenId right = symbols_[next].id;
  const Merge* merge = merges_.find(left, right);
  if (merge == nullptr) return;
  heap_.push_back({.merge = *merge, .position = position, .left = left, .right = right});
  std::push_heap(heap_.begin(), heap_.end(), later);
}

void BytePairEncoder::apply(const Candidate& candidate) {
  Symbol& left = symbols_[candidate.position];
  if (left.id != candidate.left || left.next == symbols_.size()) return;
  Symbol& right = symbols_[left.next];
  if (right.id != candidate.right) return;
  left.id = candidate.merge.merged;
  left.next = right.next;
  right.id = kAbsorbed;
  if (left.next != symbols_.size()) symbols_[left.next].previous = candidate.position;
  if (candidate.position != 0) note(left.previous);
  note(candidate.position);
}

void BytePairEncoder::encode(std::string_view word, std::vector<TokenId>& ids) {
  if (word.size() == 1) {
    ids.push_back(byte_ids_[static_cast<unsigned char>(word[0])]);
    return;
  }
  if (word.size() > UINT32_MAX)
    fail(ErrorCode::limit, "a word of {} bytes, at most {} allowed", word.size(), UINT32_MAX);
  symbols_.clear();
  heap_.clear();
  for (uint32_t i = 0; i < word.size(); ++i) {
    symbols_.push_back(
        {.id = byte_ids_[static_cast<unsigned char>(word[i])], .previous = i - 1, .next = i + 1});
  }
  for (uint32_t i = 0; i < word.size(); ++i) note(i);
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    Candidate candidate = heap_.back();
    heap_.pop_back();
    apply(candidate);
  }
  for (uint32_t i = 0; i < symbols_.size(); i = symbols_[i].next) ids.push_back(symbols_[i].id);
}

}  // namespace qvl
