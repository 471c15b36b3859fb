#include "tokenizer/added_tokens.h"

#include <algorithm>

namespace qvl {

AddedTokenMatcher::AddedTokenMatcher(std::vector<Entry> entries) : entries_(std::move(entries)) {
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return a.content < b.content; });
  for (const Entry& entry : entries_) begins_[static_cast<unsigned char>(entry.content[0])] = true;
}

const AddedTokenMatcher::Entry* AddedTokenMatcher::match(std::string_view text, size_t position) const {
  if (!begins_[static_cast<unsigned char>(text[position])]) return nullptr;
  const Entry* longest = nullptr;
  // The entries that agree with the text so far are neighbours; each byte narrows them.
  auto first = entries_.begin();
  auto last = entries_.end();
  for (size_t length = 0; first != last; ++length) {
    if (first->content.size() == length) longest = &*first++;
    if (position + length == text.size()) break;
    auto wanted = static_cast<unsigned char>(text[position + length]);
    auto byte_of = [&](const Entry& entry) { return static_cast<unsigned char>(entry.content[length]); };
    first = std::partition_point(first, last, [&](const Entry& entry) { return byte_of(entry) < wanted; });
    last = std::partition_point(first, last, [&](const Entry& entry) { return byte_of(entry) == wanted; });
  }
  return longest;
}

std::optional<TokenId> AddedTokenMatcher::find(std::string_view content) const {
  auto found =
      std::lower_bound(entries_.begin(), entries_.end(), content,
                       [](const Entry& entry, std::string_view wanted) { return entry.content < wanted; });
  if (found == entries_.end() || found->content != content) return std::nullopt;
  return found->id;
}

}  // namespace qvl
