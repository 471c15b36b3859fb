// Every matrix product kernel against sums in float64, on random shapes with tails.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/matmul/matmul_scalar.h"

namespace qvl {
namespace {

struct Problem {
  int64_t rows, outputs, inputs;
  DType dtype;
  std::vector<std::byte> stored;
  std::vector<float> decoded, x, bias;

  Problem(std::mt19937& random, int64_t r, int64_t o, int64_t i, DType type)
      : rows(r), outputs(o), inputs(i), dtype(type) {
    std::normal_distribution<float> normal;
    const auto weights = static_cast<size_t>(o * i);
    decoded.resize(weights);
    x.resize(static_cast<size_t>(r * i));
    bias.resize(static_cast<size_t>(o));
    for (float& value : x) value = normal(random);
    for (float& value : bias) value = normal(random);
    const size_t size = type == DType::f32 ? 4 : 2;
    stored.resize(weights * size);
    for (size_t k = 0; k < weights; ++k) {
      const float value = normal(random);
      const uint16_t bits = type == DType::f16 ? f32_to_f16(value) : f32_to_bf16(value);
      std::memcpy(stored.data() + k * size, size == 4 ? static_cast<const void*>(&value) : &bits, size);
    }
    decoder(type)(stored.data(), weights, decoded.data());
  }

  PackedWeight weight(const MatmulKernel& kernel) const {
    return {.dtype = dtype,
            .outputs = outputs,
            .inputs = inputs,
            .data = stored.data(),
            .row_bytes = *bytes_for(dtype, static_cast<uint64_t>(inputs)),
            .kernel = &kernel};
  }
};

std::vector<float> run(const Problem& problem, const MatmulKernel& kernel, int64_t first, int64_t last) {
  const PackedWeight weight = problem.weight(kernel);
  std::vector<float> y(static_cast<size_t>(problem.rows * problem.outputs), NAN);
  std::vector<float> scratch(static_cast<size_t>(kernel.scratch_floats(weight)));
  kernel.run({.weight = &weight,
              .x = problem.x.data(),
              .rows = problem.rows,
              .first = first,
              .last = last,
              .bias = problem.bias.data(),
              .y = y.data(),
              .scratch = scratch.data()});
  return y;
}

TEST(Matmul, equals_sums_in_float64_on_random_shapes) {
  std::mt19937 random(1);
  const DType types[] = {DType::f32, DType::f16, DType::bf16};
  for (int round = 0; round < 300; ++round) {
    const Problem p(random, 1 + random() % 7, 1 + random() % 50, 1 + random() % 90, types[random() % 3]);
    const auto y = run(p, scalar_matmul(), 0, p.outputs);
    for (int64_t r = 0; r < p.rows; ++r) {
      for (int64_t o = 0; o < p.outputs; ++o) {
        double sum = p.bias[static_cast<size_t>(o)], size = std::abs(sum);
        for (int64_t k = 0; k < p.inputs; ++k) {
          const double term = static_cast<double>(p.x[static_cast<size_t>(r * p.inputs + k)]) *
                              p.decoded[static_cast<size_t>(o * p.inputs + k)];
          sum += term;
          size += std::abs(term);
        }
        ASSERT_NEAR(y[static_cast<size_t>(r * p.outputs + o)], sum, 1e-6 * size)
            << p.rows << "x" << p.outputs << "x" << p.inputs;
      }
    }
  }
}

TEST(Matmul, a_row_does_not_depend_on_the_rows_beside_it_nor_on_the_split_of_outputs) {
  std::mt19937 random(2);
  for (int round = 0; round < 50; ++round) {
    Problem p(random, 5, 16 + random() % 40, 1 + random() % 90, DType::bf16);
    const auto whole = run(p, scalar_matmul(), 0, p.outputs);
    const auto right = run(p, scalar_matmul(), 16, p.outputs);
    Problem last_row = p;
    last_row.rows = 1;
    last_row.x.assign(p.x.end() - p.inputs, p.x.end());
    const auto alone = run(last_row, scalar_matmul(), 0, p.outputs);
    for (int64_t o = 0; o < p.outputs; ++o) {
      const auto at = static_cast<size_t>(4 * p.outputs + o);
      ASSERT_EQ(whole[at], alone[static_cast<size_t>(o)]);
      if (o < 16) {
        ASSERT_TRUE(std::isnan(right[at]));
      } else {
        ASSERT_EQ(whole[at], right[at]);
      }
    }
  }
}

TEST(Matmul, keeps_zeros_and_lets_infinities_through) {
  std::mt19937 random(3);
  Problem p(random, 2, 17, 33, DType::f32);
  std::fill(p.x.begin(), p.x.end(), 0.0f);
  p.x[0] = INFINITY;
  const auto y = run(p, scalar_matmul(), 0, p.outputs);
  for (int64_t o = 0; o < p.outputs; ++o) {
    EXPECT_TRUE(std::isinf(y[static_cast<size_t>(o)]));
    EXPECT_EQ(y[static_cast<size_t>(p.outputs + o)], p.bias[static_cast<size_t>(o)]);
  }
}

}  // namespace
}  // namespace qvl
