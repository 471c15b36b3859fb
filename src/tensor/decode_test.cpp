#include "tensor/decode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace qvl {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

// The value of a half by its definition, in double.
double half_value(uint16_t bits) {
  int exponent = bits >> 10 & 31;
  double mantissa = bits & 0x3FF;
  double magnitude = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

bool is_half_nan(uint16_t bits) { return (bits & 0x7FFF) > 0x7C00; }

TEST(HalfTest, EveryPatternDecodesToItsValue) {
  for (uint32_t i = 0; i < 0x10000; ++i) {
    auto bits = static_cast<uint16_t>(i);
    float value = f16_to_f32(bits);
    if ((bits & 0x7C00) != 0x7C00) {
      ASSERT_EQ(value, half_value(bits)) << bits;
      ASSERT_EQ(std::signbit(value), (bits & 0x8000) != 0) << bits;
    } else if (is_half_nan(bits)) {
      ASSERT_TRUE(std::isnan(value)) << bits;
    } else {
      ASSERT_EQ(value, bits & 0x8000 ? -infinity : infinity);
    }
  }
}

TEST(HalfTest, EveryPatternSurvivesTheRoundTrip) {
  for (uint32_t i = 0; i < 0x10000; ++i) {
    auto bits = static_cast<uint16_t>(i);
    uint16_t expected =
        is_half_nan(bits) ? static_cast<uint16_t>(bits | 0x200) : bits;  // signalling NaNs turn quiet
    ASSERT_EQ(f32_to_f16(f16_to_f32(bits)), expected);
  }
}

// Between any two neighbours: the middle goes to the even one, its float neighbours to the nearer one.
TEST(HalfTest, RoundsToNearestEven) {
  for (uint16_t low = 0; low < 0x7BFF; ++low) {
    uint16_t high = low + 1;
    auto middle = static_cast<float>((half_value(low) + half_value(high)) / 2);
    ASSERT_EQ(f32_to_f16(middle), low % 2 == 0 ? low : high) << low;
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, 0.0f)), low) << low;
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, infinity)), high) << low;
    ASSERT_EQ(f32_to_f16(-middle), 0x8000 | (low % 2 == 0 ? low : high)) << low;
  }
}

TEST(HalfTest, EndsOfTheRange) {
  EXPECT_EQ(f32_to_f16(65504.0f), 0x7BFF);
  EXPECT_EQ(f32_to_f16(std::nextafter(65520.0f, 0.0f)), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7C00);
  EXPECT_EQ(f32_to_f16(-3.0e38f), 0xFC00);
  EXPECT_EQ(f32_to_f16(infinity), 0x7C00);
  EXPECT_EQ(f32_to_f16(1.0e-45f), 0x0000);
  EXPECT_EQ(f32_to_f16(-1.0e-45f), 0x8000);
}

TEST(Bf16Test, RoundsToNearestEven) {
  auto encode = [](uint32_t bits) { return f32_to_bf16(std::bit_cast<float>(bits)); };
  EXPECT_EQ(encode(0x3F800000), 0x3F80);
  EXPECT_EQ(encode(0x3F807FFF), 0x3F80);
  EXPECT_EQ(encode(0x3F808000), 0x3F80);  // the middle, to even
  EXPECT_EQ(encode(0x3F808001), 0x3F81);
  EXPECT_EQ(encode(0x3F818000), 0x3F82);  // the middle, to even
  EXPECT_EQ(encode(0x7F7FFFFF), 0x7F80);  // the largest float becomes infinity
  EXPECT_EQ(encode(0xFF800000), 0xFF80);
  EXPECT_EQ(encode(0x80000000), 0x8000);
  EXPECT_EQ(encode(0x00008001), 0x0001);
  EXPECT_EQ(encode(0x7F800001), 0x7FC0);  // a NaN stays one
}

TEST(Bf16Test, EveryPatternSurvivesTheRoundTrip) {
  for (uint32_t i = 0; i < 0x10000; ++i) {
    auto bits = static_cast<uint16_t>(i);
    ASSERT_EQ(std::bit_cast<uint32_t>(bf16_to_f32(bits)), i << 16);
    bool nan = (bits & 0x7FFF) > 0x7F80;
    ASSERT_EQ(f32_to_bf16(bf16_to_f32(bits)), nan ? bits | 0x40 : bits);
  }
}

// Bytes of a block, written at odd places to show that no alignment is needed.
std::vector<float> decode(DType dtype, const std::vector<uint8_t>& block, size_t count) {
  std::vector<std::byte> shifted(block.size() + 1);
  std::memcpy(shifted.data() + 1, block.data(), block.size());
  std::vector<float> out(count, -1.0e30f);
  decoder(dtype)(shifted.data() + 1, count, out.data());
  return out;
}

TEST(DecodeTest, Floats) {
  EXPECT_EQ(decode(DType::f32, {0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0}, 2), (std::vector<float>{1, -2}));
  EXPECT_EQ(decode(DType::f16, {0, 0x3C, 1, 0}, 2), (std::vector<float>{1, 0x1p-24f}));
  EXPECT_EQ(decode(DType::bf16, {0x80, 0x3F, 0, 0xC0}, 2), (std::vector<float>{1, -2}));
}

TEST(DecodeTest, Q8_0TwoBlocks) {
  std::vector<uint8_t> bytes;
  for (uint8_t scale : {0x38, 0x40}) {  // 0.5 and 2
    bytes.insert(bytes.end(), {0, scale});
    for (int i = 0; i < 32; ++i) bytes.push_back(static_cast<uint8_t>(i * 8 - 128));
  }
  std::vector<float> out = decode(DType::q8_0, bytes, 64);
  for (int i = 0; i < 32; ++i) {
    EXPECT_EQ(out[i], 0.5f * static_cast<float>(i * 8 - 128));
    EXPECT_EQ(out[32 + i], 2.0f * static_cast<float>(i * 8 - 128));
  }
}

TEST(DecodeTest, Q4_0LowNibblesComeFirst) {
  std::vector<uint8_t> bytes = {0, 0x40};  // 2
  for (int i = 0; i < 16; ++i) bytes.push_back(static_cast<uint8_t>(i | (15 - i) << 4));
  std::vector<float> out = decode(DType::q4_0, bytes, 32);
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(out[i], 2.0f * static_cast<float>(i - 8));
    EXPECT_EQ(out[16 + i], 2.0f * static_cast<float>(7 - i));
  }
}

// Scales 1, 2, 3, 4, 17, 34, 51, 63 and minima 5, 6, 7, 8, 18, 35, 52, 62, packed by hand: of the last four,
// the low four bits share bytes 8 to 11, and the high two bits sit on top of bytes 0 to 7.
constexpr std::array<float, 8> scales = {1, 2, 3, 4, 17, 34, 51, 63};
constexpr std::array<float, 8> minima = {5, 6, 7, 8, 18, 35, 52, 62};
constexpr std::array<uint8_t, 12> packed_scales = {0x41, 0x82, 0xC3, 0xC4, 0x45, 0x86,
                                                   0xC7, 0xC8, 0x21, 0x32, 0x43, 0xEF};

std::vector<uint8_t> k_block_start() {
  std::vector<uint8_t> bytes(4 + packed_scales.size());
  bytes[1] = 0x3C;  // d = 1
  bytes[3] = 0x38;  // dmin = 0.5
  std::copy(packed_scales.begin(), packed_scales.end(), bytes.begin() + 4);
  return bytes;
}

TEST(DecodeTest, Q4_K) {
  std::vector<uint8_t> bytes = k_block_start();
  for (int i = 0; i < 128; ++i) bytes.push_back(static_cast<uint8_t>(i % 16 | (i / 32 + 3) << 4));
  std::vector<float> out = decode(DType::q4_k, bytes, 256);
  for (int e = 0; e < 256; ++e) {
    int s = e / 32;
    int q = s % 2 == 0 ? e % 16 : s / 2 + 3;
    EXPECT_EQ(out[e], scales[s] * static_cast<float>(q) - 0.5f * minima[s]) << e;
  }
}

TEST(DecodeTest, Q5_K) {
  std::vector<uint8_t> bytes = k_block_start();
  for (int i = 0; i < 32; ++i) bytes.push_back(static_cast<uint8_t>(i * 5 + 1));
  for (int i = 0; i < 128; ++i) bytes.push_back(static_cast<uint8_t>(i % 16 | (i / 32 + 3) << 4));
  std::vector<float> out = decode(DType::q5_k, bytes, 256);
  for (int e = 0; e < 256; ++e) {
    int s = e / 32;
    int high = ((e % 32) * 5 + 1) >> s & 1;
    int q = (s % 2 == 0 ? e % 16 : s / 2 + 3) + 16 * high;
    EXPECT_EQ(out[e], scales[s] * static_cast<float>(q) - 0.5f * minima[s]) << e;
  }
}

// Encodes the wanted value of each weight, -32 to 31, by the definition of the format.
TEST(DecodeTest, Q6_K) {
  auto wanted = [](int e) { return (e * 7 + 3) % 64 - 32; };
  std::vector<uint8_t> bytes(210, 0);
  for (int e = 0; e < 256; ++e) {
    int q = wanted(e) + 32, half = e / 128, quarter = e % 128 / 32, i = e % 32;
    bytes[64 * half + 32 * (quarter % 2) + i] |= static_cast<uint8_t>((q & 15) << (quarter < 2 ? 0 : 4));
    bytes[128 + 32 * half + i] |= static_cast<uint8_t>((q >> 4) << (2 * quarter));
  }
  for (int s = 0; s < 16; ++s) bytes[192 + s] = static_cast<uint8_t>(s * 9 - 70);
  bytes[209] = 0x34;  // d = 0.25
  std::vector<float> out = decode(DType::q6_k, bytes, 256);
  for (int e = 0; e < 256; ++e) {
    EXPECT_EQ(out[e], 0.25f * static_cast<float>(e / 16 * 9 - 70) * static_cast<float>(wanted(e))) << e;
  }
}

TEST(DTypeTest, BytesOfRows) {
  EXPECT_EQ(bytes_for(DType::bf16, 3), 6u);
  EXPECT_EQ(bytes_for(DType::q4_0, 64), 36u);
  EXPECT_EQ(bytes_for(DType::q6_k, 512), 420u);
  EXPECT_EQ(bytes_for(DType::q6_k, 128), std::nullopt);
  EXPECT_EQ(bytes_for(DType::f32, UINT64_MAX / 2), std::nullopt);
}

}  // namespace
}  // namespace qvl
