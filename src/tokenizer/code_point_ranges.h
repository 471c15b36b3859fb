// Looking a character up in a short table of ranges.
#pragma once

#include <algorithm>
#include <span>

namespace qvl {

struct CodePointRange {
  char32_t first;
  char32_t last;
};

/// `ranges` are in increasing order and do not overlap.
inline bool contains(std::span<const CodePointRange> ranges, char32_t c) {
  auto after =
      std::upper_bound(ranges.begin(), ranges.end(), c,
                       [](char32_t wanted, const CodePointRange& range) { return wanted < range.first; });
  return after != ranges.begin() && c <= (after - 1)->last;
}

}  // namespace qvl
