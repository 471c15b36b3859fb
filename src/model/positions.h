// Three-component positions (time, height, width) of the tokens of a sequence: M-RoPE.
#pragma once

#include <cstdint>
#include <vector>

#include "media/image.h"

namespace qvl {

struct Position {
  int32_t t = 0, h = 0, w = 0;
  bool operator==(const Position&) const = default;
};

/// Hands out positions in sequence order. Text advances all components by one; a block of visual tokens
/// spreads height and width and advances the counter by the larger side. Plain data.
class PositionCounter {
 public:
  void append_text(int64_t tokens, std::vector<Position>& out);
  /// One picture, or one temporal step of a video: (h / merge) * (w / merge) tokens in raster order.
  void append_block(int64_t h, int64_t w, int64_t merge, std::vector<Position>& out);
  int32_t next() const { return next_; }

 private:
  int32_t next_ = 0;
};

}  // namespace qvl
