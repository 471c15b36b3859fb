// How far quantised weights are from what they stand for.
#include "kernels/matmul/encode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/matmul/matmul_testing.h"
#include "tensor/decode.h"

namespace qvl {
namespace {

void encode(const BlockRows& in, Isa isa, Q7Block& out) { encode_q7(in, isa, out); }
void encode(const BlockRows& in, Isa isa, Q4Block& out) { encode_q4(in, isa, out); }
float decode(const Q7Block& block, int64_t output, int64_t input) { return decode_q7(block, output, input); }
float decode(const Q4Block& block, int64_t output, int64_t input) { return decode_q4(block, output, input); }

// Squared error of quantised weights relative to the squares of the weights.
template <typename Block>
double error_of(const std::vector<float>& weights, Isa isa) {
  double error = 0, squares = 0;
  for (size_t first = 0; first < weights.size(); first += kGroup) {
    Block block;
    encode({.rows = {weights.data() + first}, .outputs = 1, .length = kGroup}, isa, block);
    for (int64_t i = 0; i < kGroup; ++i) {
      const double w = weights[first + static_cast<size_t>(i)], difference = w - decode(block, 0, i);
      error += difference * difference;
      squares += w * w;
    }
  }
  return error / squares;
}

// Q4_0 of llama.cpp: the largest value takes level -8 (ggml-quants.c, quantize_row_q4_0_ref).
double q4_0_error(const std::vector<float>& weights) {
  double error = 0, squares = 0;
  for (size_t first = 0; first < weights.size(); first += 32) {
    float largest = 0;
    for (size_t i = first; i < first + 32; ++i) {
      if (std::abs(weights[i]) > std::abs(largest)) largest = weights[i];
    }
    const float exact = largest / -8, inverse = exact == 0 ? 0 : 1 / exact;
    const float scale = f16_to_f32(f32_to_f16(exact));
    for (size_t i = first; i < first + 32; ++i) {
      const int level = std::min(15, static_cast<int>(weights[i] * inverse + 8.5f)) - 8;
      error += std::pow(weights[i] - scale * static_cast<float>(level), 2);
      squares += weights[i] * weights[i];
    }
  }
  return error / squares;
}

TEST(EncodeQ4, errs_less_than_q4_0_with_fewer_bits) {
  std::mt19937 random(10);
  for (Values kind : {Values::normal, Values::heavy_tailed}) {
    std::vector<float> weights;
    for (int64_t i = 0; i < 400 * kGroup; ++i) weights.push_back(0.02f * draw(random, kind, 0));
    EXPECT_LT(error_of<Q4Block>(weights, Isa::scalar), 0.96 * q4_0_error(weights));
  }
  EXPECT_LT(sizeof(Q4Block) * 8.0 / (kGroup * kPanel), 4.5);
}

// Rounding to the nearest of 127 levels up to the largest of 16 values leaves a twelfth of the squared step.
TEST(EncodeQ7, errs_less_than_with_the_largest_level_at_the_largest_value) {
  std::mt19937 random(13);
  std::vector<float> weights;
  double plain = 0, squares = 0;
  for (int64_t half = 0; half < 400 * kGroup / 16; ++half) {
    float largest = 0;
    for (int i = 0; i < 16; ++i) {
      weights.push_back(draw(random, Values::normal, 0));
      largest = std::max(largest, std::abs(weights.back()));
      squares += weights.back() * weights.back();
    }
    plain += 16 * std::pow(largest / 63, 2) / 12;
  }
  EXPECT_LT(error_of<Q7Block>(weights, Isa::scalar), 0.8 * plain / squares);
}

// The largest and the smallest numbers there are: sums of their squares would not fit a float.
TEST(EncodeQ7, is_as_good_at_any_size) {
  std::mt19937 random(14);
  std::vector<float> weights;
  for (int64_t i = 0; i < 20 * kGroup; ++i)
    weights.push_back(std::clamp(draw(random, Values::normal, 0), -3.0f, 3.0f));
  const double error = error_of<Q7Block>(weights, Isa::scalar);
  for (const float size : {1e-28f, 1e-20f, 1e38f}) {
    std::vector<float> sized = weights;
    for (float& w : sized) w *= size;
    EXPECT_NEAR(error_of<Q7Block>(sized, Isa::scalar), error, 0.02 * error) << size;
  }
}

template <typename Block>
void expect_same_blocks() {
  std::mt19937 random(11);
  const Values kinds[] = {Values::normal, Values::heavy_tailed, Values::zeros, Values::extreme,
                          Values::outlier_channel};
  for (Isa isa : all_isas()) {
    if (!supported(isa)) continue;
    for (int round = 0; round < 300; ++round) {
      std::vector<float> rows;
      const int64_t outputs = 1 + random() % 16, length = 1 + random() % 256;
      const Values kind = kinds[random() % 5];
      for (int64_t i = 0; i < outputs * length; ++i) rows.push_back(draw(random, kind, i % length));
      BlockRows in{.rows = {}, .outputs = outputs, .length = length};
      for (int64_t o = 0; o < outputs; ++o) in.rows[o] = rows.data() + o * length;
      Block expected, found;
      std::memset(&expected, 0, sizeof expected);
      std::memset(&found, 255, sizeof found);
      encode(in, Isa::scalar, expected);
      encode(in, isa, found);
      ASSERT_EQ(0, std::memcmp(&expected, &found, sizeof expected));
    }
  }
}

TEST(EncodeQ4, is_the_same_on_every_instruction_set) { expect_same_blocks<Q4Block>(); }
TEST(EncodeQ7, is_the_same_on_every_instruction_set) { expect_same_blocks<Q7Block>(); }

}  // namespace
}  // namespace qvl
