#include "model/positions.h"

#include <algorithm>

#include "base/error.h"

namespace qvl {

void PositionCounter::append_text(int64_t tokens, std::vector<Position>& out) {
  for (int64_t i = 0; i < tokens; ++i, ++next_) out.push_back({next_, next_, next_});
}

void PositionCounter::append_block(int64_t h, int64_t w, int64_t merge, std::vector<Position>& out) {
  QVL_CHECK(merge > 0 && h % merge == 0 && w % merge == 0);
  const auto rows = static_cast<int32_t>(h / merge), columns = static_cast<int32_t>(w / merge);
  for (int32_t r = 0; r < rows; ++r) {
    for (int32_t c = 0; c < columns; ++c) out.push_back({next_, next_ + r, next_ + c});
  }
  next_ += std::max(rows, columns);
}

}  // namespace qvl
