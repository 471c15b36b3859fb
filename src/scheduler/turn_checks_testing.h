// Counts the turns that clients get, and how far apart those are that want more.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "scheduler/request.h"

namespace qvl::scheduling {

struct TurnFigures {
  uint64_t most_difference = 0;  ///< of the turns of two clients, while both wanted more than they got
  uint64_t least = 0, most = 0;  ///< of a client, in the steps in which all clients wanted more
};

/// Of one kind of slot. For each pair of clients that both want more than they get, the difference of their
/// turns is followed from when that began.
class TurnChecks {
 public:
  explicit TurnChecks(size_t clients)
      : turns_(clients), together_(clients), pairs_(clients, std::vector<Pair>(clients)) {}

  /// One step: turns that each client got in it, and whether it wanted more.
  void step(const std::vector<uint32_t>& got, const std::vector<bool>& wanted_more) {
    for (size_t client = 0; client < turns_.size(); ++client) turns_[client] += got[client];
    const bool all = std::all_of(wanted_more.begin(), wanted_more.end(), [](bool more) { return more; });
    for (size_t a = 0; a < turns_.size(); ++a) {
      if (all) together_[a] += got[a];
      for (size_t b = 0; b < a; ++b) follow(pairs_[a][b], a, b, wanted_more[a] && wanted_more[b]);
    }
  }

  size_t clients() const { return turns_.size(); }
  TurnFigures figures() const {
    const auto [least, most] = std::minmax_element(together_.begin(), together_.end());
    return {.most_difference = most_difference_, .least = *least, .most = *most};
  }

 private:
  struct Pair {
    bool open = false;
    int64_t least = 0, most = 0;  // difference of their turns
  };

  void follow(Pair& pair, size_t a, size_t b, bool both_want_more) {
    const auto difference = static_cast<int64_t>(turns_[a]) - static_cast<int64_t>(turns_[b]);
    if (!both_want_more) {
      pair.open = false;
    } else if (!pair.open) {
      pair = {.open = true, .least = difference, .most = difference};
    } else {
      pair.least = std::min(pair.least, difference);
      pair.most = std::max(pair.most, difference);
      most_difference_ = std::max(most_difference_, static_cast<uint64_t>(pair.most - pair.least));
    }
  }

  std::vector<uint64_t> turns_, together_;
  std::vector<std::vector<Pair>> pairs_;
  uint64_t most_difference_ = 0;
};

}  // namespace qvl::scheduling
