// Weights and activations to test products with.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>

namespace qvl {

enum class Values { normal, heavy_tailed, zeros, extreme, outlier_channel };

inline float draw(std::mt19937& random, Values kind, int64_t input) {
  std::normal_distribution<float> normal;
  const float value = normal(random);
  switch (kind) {
    case Values::heavy_tailed:
      return value * value * value;
    case Values::zeros:
      return random() % 3 == 0 ? value : 0.0f;
    case Values::extreme:
      return value * std::ldexp(1.0f, static_cast<int>(random() % 60) - 30);
    case Values::outlier_channel:
      return input == 3 ? 100 * value : value;
    case Values::normal:
      break;
  }
  return value;
}

}  // namespace qvl
