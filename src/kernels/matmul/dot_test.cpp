// The products with stored weights of each instruction set: bit for bit the order of sums that dot.h
// promises.
#include "kernels/matmul/dot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/isa.h"
#include "tensor/decode.h"

namespace qvl {
namespace {

struct Named {
  Isa isa;
  DotKernel dot;
};

class Dot : public ::testing::TestWithParam<Named> {
 protected:
  void SetUp() override {
    if (!supported(GetParam().isa)) GTEST_SKIP() << "this processor has no " << name_of(GetParam().isa);
  }
  const DotKernel& dot() const { return GetParam().dot; }
};

std::vector<float> random_values(std::mt19937& random, int64_t count) {
  std::normal_distribution<float> normal;
  std::vector<float> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(normal(random));
  return out;
}

// Encodes values, and makes them what their encoding stands for.
std::vector<std::byte> store(std::vector<float>& values, DType dtype) {
  const size_t size = dtype == DType::f32 ? 4 : 2;
  std::vector<std::byte> bytes(values.size() * size);
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t bits = dtype == DType::f16 ? f32_to_f16(values[i]) : f32_to_bf16(values[i]);
    std::memcpy(bytes.data() + i * size, size == 4 ? static_cast<const void*>(&values[i]) : &bits, size);
  }
  decoder(dtype)(bytes.data(), values.size(), values.data());
  return bytes;
}

float tree(std::vector<float> p) {
  if (p.size() == 16) {
    for (size_t l = 0; l < 8; ++l) p[l] += p[l + 8];
  }
  return ((p[0] + p[2]) + (p[1] + p[3])) + ((p[4] + p[6]) + (p[5] + p[7]));
}

// One sum in the promised order.
float expected_sum(const float* x, const float* w, int64_t inputs, int64_t lanes) {
  std::vector<float> parts(static_cast<size_t>(lanes), 0.0f);
  for (int64_t i = 0; i < inputs; ++i) {
    float& part = parts[static_cast<size_t>(i % lanes)];
    part = std::fma(x[i], w[i], part);
  }
  return tree(parts);
}

TEST_P(Dot, adds_in_the_promised_order_from_memory_and_from_a_panel_in_one_stretch_or_two) {
  std::mt19937 random(1);
  const int64_t lanes = dot().lanes;
  for (int round = 0; round < 300; ++round) {
    const int64_t rows = 1 + random() % 14, outputs = 1 + random() % kDotOutputs, inputs = 1 + random() % 200;
    const DType dtype = std::vector{DType::f32, DType::f16, DType::bf16}[random() % 3];
    const auto source =
        dtype == DType::f32 && random() % 2 ? DotArgs::Source::panel : DotArgs::Source::memory;
    const auto x = random_values(random, rows * inputs);
    auto w = random_values(random, outputs * inputs);
    const auto bytes = store(w, dtype);
    const int64_t stride = static_cast<int64_t>(bytes.size()) / outputs, size = stride / inputs;
    std::vector<float> parts(static_cast<size_t>(rows * kDotOutputs * lanes), 0.0f);
    const int64_t cut = static_cast<int64_t>(random() % 2) * (inputs / 2 / lanes * lanes);
    for (const auto& [first, last] : {std::pair{int64_t{0}, cut}, std::pair{cut, inputs}}) {
      dot().add({.x = x.data() + first,
                 .x_stride = inputs,
                 .rows = rows,
                 .weights = bytes.data() + first * size,
                 .weight_stride = stride,
                 .outputs = outputs,
                 .source = source,
                 .dtype = dtype,
                 .inputs = last - first,
                 .parts = parts.data()});
    }
    for (int64_t r = 0; r < rows; ++r) {
      float sums[kDotOutputs];
      dot().finish(parts.data() + r * kDotOutputs * lanes, sums);
      for (int64_t o = 0; o < outputs; ++o) {
        ASSERT_EQ(sums[o], expected_sum(x.data() + r * inputs, w.data() + o * inputs, inputs, lanes))
            << rows << "x" << outputs << "x" << inputs << " " << info(dtype).name;
      }
    }
  }
}

// All 65,536 numbers of 16 bits, at an odd address, in pieces that are no whole vectors.
TEST_P(Dot, widens_every_number_as_the_reference_decoder_does) {
  constexpr int64_t count = 65'536, piece = 1'013;
  for (DType dtype : {DType::f16, DType::bf16}) {
    std::vector<std::byte> bytes(2 * count + 1);
    for (int64_t i = 0; i < count; ++i) {
      const auto bits = static_cast<uint16_t>(i);
      std::memcpy(bytes.data() + 1 + 2 * i, &bits, sizeof bits);
    }
    std::vector<float> expected(count), found(count);
    decoder(dtype)(bytes.data() + 1, count, expected.data());
    for (int64_t i = 0; i < count; i += piece) {
      dot().widen(bytes.data() + 1 + 2 * i, dtype, std::min(piece, count - i), found.data() + i);
    }
    for (size_t i = 0; i < count; ++i) {
      if (std::isnan(expected[i])) {
        ASSERT_TRUE(std::isnan(found[i])) << i;
      } else {
        ASSERT_EQ(found[i], expected[i]) << i;
      }
    }
  }
}

TEST_P(Dot, widens_f32_to_itself_and_writes_no_more_than_asked) {
  std::mt19937 random(2);
  auto values = random_values(random, 45);
  const auto bytes = store(values, DType::f32);
  std::vector<float> found(values.size() + 1, 7.0f);
  dot().widen(bytes.data(), DType::f32, 45, found.data());
  values.push_back(7.0f);
  EXPECT_EQ(found, values);
}

INSTANTIATE_TEST_SUITE_P(All, Dot,
                         ::testing::Values(Named{Isa::avx2, kDotAvx2}, Named{Isa::avx512, kDotAvx512}),
                         [](const auto& row) { return std::string(name_of(row.param.isa)); });

}  // namespace
}  // namespace qvl
