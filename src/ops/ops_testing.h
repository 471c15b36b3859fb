// Values for the tests of this folder.
#pragma once

#include <random>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace qvl {

inline std::vector<float> random_values(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(static_cast<size_t>(count));
  for (float& value : out) value = normal(random);
  return out;
}

inline TensorView view_of(const std::vector<float>& values, Shape shape) {
  return {.dtype = DType::f32, .shape = std::move(shape), .bytes = std::as_bytes(std::span(values))};
}

}  // namespace qvl
