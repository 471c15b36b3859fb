// Products with weights as they are stored, of every type and instruction set. What all products have in
// common is tested in matmul_test.cpp.
#include "kernels/matmul/stored_matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace qvl {
namespace {

// A stored type, and where the F16 numbers of a block are that must not be arbitrary bits.
struct StoredType {
  DType dtype;
  std::vector<size_t> scales;
};

const std::vector<StoredType>& stored_types() {
  static const std::vector<StoredType> types = {
      {DType::f32, {}},   {DType::f16, {}},      {DType::bf16, {}},     {DType::q8_0, {0}},
      {DType::q4_0, {0}}, {DType::q4_k, {0, 2}}, {DType::q5_k, {0, 2}}, {DType::q6_k, {208}}};
  return types;
}

struct Problem {
  int64_t rows, outputs, inputs;
  std::vector<float> x;  // [rows, inputs]
  std::vector<std::byte>
      stored;                  // one byte, which puts the weights at an odd address, then [outputs, inputs]
  std::vector<float> weights;  // what they stand for
};

std::vector<std::byte> random_weights(std::mt19937& random, const StoredType& type, int64_t count) {
  std::normal_distribution<float> normal;
  const size_t block = info(type.dtype).bytes_per_block;
  std::vector<std::byte> out(1 + *bytes_for(type.dtype, static_cast<uint64_t>(count)));
  const auto put = [&](size_t at, uint16_t bits) { std::memcpy(out.data() + at, &bits, sizeof bits); };
  for (size_t at = 1; at < out.size(); at += block) {
    const float value = normal(random);
    if (type.dtype == DType::f32) {
      std::memcpy(out.data() + at, &value, sizeof value);
    } else if (block == 2) {
      put(at, type.dtype == DType::f16 ? f32_to_f16(value) : f32_to_bf16(value));
    } else {
      for (size_t i = 0; i < block; ++i) out[at + i] = static_cast<std::byte>(random());
      for (size_t scale : type.scales) put(at + scale, f32_to_f16(0.001f * value));
    }
  }
  return out;
}

Problem random_problem(std::mt19937& random, const StoredType& type, int64_t rows, int64_t inputs) {
  std::normal_distribution<float> normal;
  Problem p{.rows = rows, .outputs = 37, .inputs = inputs, .x = {}, .stored = {}, .weights = {}};
  for (int64_t i = 0; i < rows * inputs; ++i) p.x.push_back(normal(random));
  p.stored = random_weights(random, type, p.outputs * inputs);
  p.weights.resize(static_cast<size_t>(p.outputs * inputs));
  decoder(type.dtype)(p.stored.data() + 1, p.weights.size(), p.weights.data());
  return p;
}

// y of rows [first, first + rows), the others left as they were.
std::vector<float> run(const MatmulKernel& kernel, DType dtype, const Problem& p, int64_t first,
                       int64_t rows) {
  const PackedWeight weight = {.dtype = dtype,
                               .outputs = p.outputs,
                               .inputs = p.inputs,
                               .data = p.stored.data() + 1,
                               .row_bytes = *bytes_for(dtype, static_cast<uint64_t>(p.inputs)),
                               .kernel = &kernel};
  std::vector<float> y(static_cast<size_t>(p.rows * p.outputs), NAN);
  std::vector<float> scratch(static_cast<size_t>(kernel.scratch_floats(weight, rows)), NAN);
  kernel.run({.weight = &weight,
              .x = p.x.data(),
              .quantised_x = nullptr,
              .first_row = first,
              .rows = rows,
              .first = 0,
              .last = p.outputs,
              .bias = nullptr,
              .y = y.data(),
              .y_stride = p.outputs,
              .epilogue = Epilogue::assign,
              .scratch = scratch.data()});
  return y;
}

class StoredMatmul : public ::testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (!supported(GetParam())) GTEST_SKIP() << "this processor has no " << name_of(GetParam());
    ASSERT_EQ(kernel().isa, GetParam());
  }
  const MatmulKernel& kernel() const { return matmul_kernel(WeightForm::stored, GetParam()); }
};

TEST_P(StoredMatmul, of_every_stored_type_equals_sums_in_float64) {
  std::mt19937 random(1);
  for (const StoredType& type : stored_types()) {
    // One row, rows that are decoded for, and more than are computed together.
    for (int64_t rows : {1, 11, 130}) {
      const Problem p = random_problem(random, type, rows, 768);
      const auto y = run(kernel(), type.dtype, p, 0, rows);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t o = 0; o < p.outputs; ++o) {
          double sum = 0, size = 0;
          for (int64_t k = 0; k < p.inputs; ++k) {
            const double term = static_cast<double>(p.x[static_cast<size_t>(r * p.inputs + k)]) *
                                p.weights[static_cast<size_t>(o * p.inputs + k)];
            sum += term;
            size += std::abs(term);
          }
          ASSERT_NEAR(y[static_cast<size_t>(r * p.outputs + o)], sum, 4e-6 * size)
              << info(type.dtype).name << ", " << rows << " rows";
        }
      }
    }
  }
}

// A few rows and many, blocks of rows and stretches of inputs: whatever way is taken, a row is the same.
TEST_P(StoredMatmul, of_a_row_is_the_same_alone_and_among_many) {
  std::mt19937 random(2);
  for (const StoredType& type : stored_types()) {
    const bool blocks = info(type.dtype).weights_per_block > 1;
    for (int64_t rows : {7, 8, 9, 131}) {
      const Problem p = random_problem(random, type, rows, blocks ? 1'280 : 1'101);
      const auto whole = run(kernel(), type.dtype, p, 0, rows);
      for (int64_t r : {int64_t{0}, rows / 2, rows - 1}) {
        const auto alone = run(kernel(), type.dtype, p, r, 1);
        for (int64_t o = 0; o < p.outputs; ++o) {
          const auto at = static_cast<size_t>(r * p.outputs + o);
          ASSERT_EQ(alone[at], whole[at]) << info(type.dtype).name << ", row " << r << " of " << rows;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, StoredMatmul, ::testing::Values(Isa::scalar, Isa::avx2, Isa::avx512),
                         [](const auto& row) { return std::string(name_of(row.param)); });

}  // namespace
}  // namespace qvl
