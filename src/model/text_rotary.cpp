#include "model/text_rotary.h"

#include <cmath>
#include <vector>

namespace qvl {
namespace {

enum class Axis { t, h, w };

// t h w t h w ... while the sections of h and w last, then t alone.
Axis axis_of(const TextConfig& config, int64_t frequency) {
  if (frequency % 3 == 1 && frequency < 3 * config.mrope_section[1]) return Axis::h;
  if (frequency % 3 == 2 && frequency < 3 * config.mrope_section[2]) return Axis::w;
  return Axis::t;
}

int32_t component(const Position& position, Axis axis) {
  switch (axis) {
    case Axis::h:
      return position.h;
    case Axis::w:
      return position.w;
    case Axis::t:
      break;
  }
  return position.t;
}

}  // namespace

void write_text_rotary(const TextConfig& config, std::span<const Position> positions, uint64_t first,
                       RotaryTable& table) {
  const auto half = static_cast<uint64_t>(config.head_dim / 2);
  for (uint64_t i = 0; i < half; ++i) {
    // Float32 throughout, as the reference: at position 100,000 exact angles would differ by 2e-3.
    const auto exponent = static_cast<float>(2 * i) / static_cast<float>(config.head_dim);
    const float frequency = 1.0f / std::pow(static_cast<float>(config.rope_theta), exponent);
    const Axis axis = axis_of(config, static_cast<int64_t>(i));
    for (size_t token = 0; token < positions.size(); ++token) {
      const float angle = static_cast<float>(component(positions[token], axis)) * frequency;
      table.cos.row(first + token)[i] = std::cos(angle);
      table.sin.row(first + token)[i] = std::sin(angle);
    }
  }
}

RotaryTable text_rotary(const TextConfig& config, std::span<const Position> positions) {
  const auto half = static_cast<uint64_t>(config.head_dim / 2);
  RotaryTable table{Tensor(positions.size(), half), Tensor(positions.size(), half)};
  write_text_rotary(config, positions, 0, table);
  return table;
}

}  // namespace qvl
