#include "model/vision_positions.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace qvl {
namespace {

constexpr float vision_rope_theta = 10'000.0f;  // fixed in the reference, not in config.json

struct PatchPlace {
  int64_t row, column;
};

// Places of the patches of one temporal step in merge-block order.
std::vector<PatchPlace> merge_block_order(PatchGrid grid, int64_t merge) {
  std::vector<PatchPlace> places;
  places.reserve(static_cast<size_t>(grid.h * grid.w));
  for (int64_t block_row = 0; block_row < grid.h; block_row += merge) {
    for (int64_t block_column = 0; block_column < grid.w; block_column += merge) {
      for (int64_t y = 0; y < merge; ++y) {
        for (int64_t x = 0; x < merge; ++x) places.push_back({block_row + y, block_column + x});
      }
    }
  }
  return places;
}

// Where a patch row (or column) falls between two rows of the table.
struct Between {
  int64_t low, high;
  float fraction;
};

// As torch.linspace in float32: from both ends towards the middle.
std::vector<Between> align_corners(int64_t count, int64_t side) {
  std::vector<Between> out;
  const auto last = static_cast<float>(side - 1);
  const float step = count > 1 ? last / static_cast<float>(count - 1) : 0.0f;
  for (int64_t i = 0; i < count; ++i) {
    const float place = i < count / 2 || count == 1 ? step * static_cast<float>(i)
                                                    : last - step * static_cast<float>(count - 1 - i);
    const auto low = std::clamp(static_cast<int64_t>(place), int64_t{0}, side - 1);
    out.push_back({low, std::min(low + 1, side - 1), place - static_cast<float>(low)});
  }
  return out;
}

}  // namespace

void add_position_embedding(std::span<const float> table, const VisionConfig& config, PatchGrid grid,
                            Tensor& x) {
  const auto side = static_cast<int64_t>(std::llround(std::sqrt(config.num_position_embeddings)));
  const int64_t width = config.hidden_size;
  QVL_CHECK(std::ssize(table) == side * side * width);
  const auto rows = align_corners(grid.h, side), columns = align_corners(grid.w, side);
  const auto places = merge_block_order(grid, config.spatial_merge_size);
  for (int64_t t = 0; t < grid.t; ++t) {
    for (size_t i = 0; i < places.size(); ++i) {
      const Between& r = rows[static_cast<size_t>(places[i].row)];
      const Between& c = columns[static_cast<size_t>(places[i].column)];
      const float* top_left = table.data() + (r.low * side + c.low) * width;
      const float* top_right = table.data() + (r.low * side + c.high) * width;
      const float* bottom_left = table.data() + (r.high * side + c.low) * width;
      const float* bottom_right = table.data() + (r.high * side + c.high) * width;
      const float w11 = r.fraction * c.fraction, w10 = r.fraction - w11, w01 = c.fraction - w11;
      const float w00 = 1.0f - r.fraction - w01;
      float* out = x.row(static_cast<uint64_t>(t) * places.size() + i);
      for (int64_t d = 0; d < width; ++d) {
        out[d] += top_left[d] * w00 + top_right[d] * w01 + bottom_left[d] * w10 + bottom_right[d] * w11;
      }
    }
  }
}

RotaryTable vision_rotary(const VisionConfig& config, PatchGrid grid, MemoryHome memory) {
  const int64_t half = config.head_dim() / 2, frequencies = half / 2;
  const auto places = merge_block_order(grid, config.spatial_merge_size);
  RotaryTable table{Tensor(places.size(), static_cast<uint64_t>(half), memory),
                    Tensor(places.size(), static_cast<uint64_t>(half), memory)};
  for (int64_t k = 0; k < half; ++k) {
    const auto exponent = static_cast<float>(2 * (k % frequencies)) / static_cast<float>(half);
    const float frequency = 1.0f / std::pow(vision_rope_theta, exponent);
    for (size_t i = 0; i < places.size(); ++i) {
      const int64_t place = k < frequencies ? places[i].row : places[i].column;
      const float angle = static_cast<float>(place) * frequency;
      table.cos.row(i)[k] = std::cos(angle);
      table.sin.row(i)[k] = std::sin(angle);
    }
  }
  return table;
}

}  // namespace qvl
