#include "kernels/attention/kv_block.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/attention/kv_testing.h"

namespace qvl {
namespace {

float largest_of(const std::vector<float>& x, size_t begin, size_t end) {
  float largest = 0;
  for (size_t i = begin; i < std::min(end, x.size()); ++i) largest = std::max(largest, std::abs(x[i]));
  return largest;
}

// In 16 bits a step is the 4095th of the largest number. In 8 bits it is at most the 127th of the largest of
// its 32, rounded up to a multiple of the 4064th of the largest of all. Those fractions of the largest number
// may double for values, where they are rounded up to powers of two.
float half_step(KvInteger integer, const std::vector<float>& row, size_t i, float rounding) {
  const float all = rounding * largest_of(row, 0, row.size());
  if (integer == KvInteger::i16) return 0.501f * all / 4095;
  return 0.501f * (largest_of(row, i / 32 * 32, i / 32 * 32 + 32) / 127 + all / 4064);
}

TEST(KvBlock, keeps_every_number_within_half_a_step) {
  for (KvInteger integer : {KvInteger::i16, KvInteger::i8}) {
    for (int64_t width : {2, 30, 32, 40, 72, 128}) {
      const int64_t tokens = 70, heads = 2;
      auto k = random_rows(tokens * heads * width, 1), v = random_rows(tokens * heads * width, 2);
      for (size_t i = 0; i < k.size(); i += 37) k[i] *= 50;  // some far larger than the others
      OwnedKv blocks({.integer = integer, .width = width, .tokens = tokens, .heads = heads}, k, v);
      for (int64_t row = 0; row < tokens * heads; ++row) {
        const StoredEntry stored = stored_entry(blocks.view(), row % heads, row / heads);
        const std::vector<float> key(k.begin() + row * width, k.begin() + (row + 1) * width),
            value(v.begin() + row * width, v.begin() + (row + 1) * width);
        for (size_t i = 0; i < key.size(); ++i) {
          ASSERT_NEAR(stored.key[i], key[i], half_step(integer, key, i, 1)) << "width " << width;
          ASSERT_NEAR(stored.value[i], value[i], half_step(integer, value, i, 2)) << "width " << width;
        }
      }
    }
  }
}

TEST(KvRounding, gives_the_same_bits_with_every_instruction_set) {
  std::mt19937 random(9);
  for (int round = 0; round < 3000; ++round) {
    const int64_t count = 1 + random() % 128;
    auto x = random_rows(count, random());
    const float size = std::ldexp(1.0f, static_cast<int>(random() % 200) - 100);
    for (float& value : x) value *= size;
    if (random() % 4 == 0) x[random() % x.size()] = 0.5f * size;
    if (random() % 16 == 0) x[random() % x.size()] = random() % 2 == 0 ? NAN : INFINITY;
    const float largest = kKvRoundingScalar.largest_magnitude(x.data(), count);
    for (Isa isa : all_isas()) {
      if (!supported(isa)) continue;
      const KvRounding& found = kv_rounding(isa);
      const float same = found.largest_magnitude(x.data(), count);
      ASSERT_TRUE(same == largest || (std::isnan(same) && std::isnan(largest))) << name_of(isa);
      for (float scale : {largest / 4095, largest / 127, 0.0f, NAN}) {
        std::vector<int16_t> words(x.size() + 1, 77), expected_words = words;
        found.to_words(x.data(), count, scale, words.data());
        kKvRoundingScalar.to_words(x.data(), count, scale, expected_words.data());
        ASSERT_EQ(words, expected_words) << name_of(isa) << " count " << count;
        if (scale == largest / 4095) continue;  // too small a scale for bytes
        std::vector<int8_t> bytes(x.size() + 1, 77), expected_bytes = bytes;
        found.to_bytes(x.data(), count, scale, bytes.data());
        kKvRoundingScalar.to_bytes(x.data(), count, scale, expected_bytes.data());
        ASSERT_EQ(bytes, expected_bytes) << name_of(isa) << " count " << count;
      }
    }
  }
}

TEST(KvBlock, has_powers_of_two_for_scales_of_values) {
  for (KvInteger integer : {KvInteger::i16, KvInteger::i8}) {
    const int64_t width = 32, tokens = 64;
    std::vector<float> rows(tokens * width, 0.25f);
    for (int64_t t = 0; t < tokens; ++t) rows[t * width + 3] = std::pow(1.7f, static_cast<float>(t - 30));
    OwnedKv blocks({.integer = integer, .width = width, .tokens = tokens}, rows, rows);
    const std::byte* scales = blocks.memory.data() + KvBlockLayout{width, integer}.value_scales();
    for (int64_t t = 0; t < tokens; ++t) {
      float scale = 0;
      std::memcpy(&scale, scales + t * 4, sizeof scale);
      int exponent = 0;
      EXPECT_EQ(std::frexp(scale, &exponent), 0.5f) << "token " << t;
    }
  }
}

TEST(KvBlock, of_8_bits_is_about_half_as_large) {
  // 128 numbers of 64 keys and values, four factors and a scale for each.
  EXPECT_EQ((KvBlockLayout{128, KvInteger::i16}.bytes()), 2 * 64 * (128 * 2 + 4));
  EXPECT_EQ((KvBlockLayout{128, KvInteger::i8}.bytes()), 2 * 64 * (128 + 4 + 4));
  // Values are padded to 48 numbers.
  EXPECT_EQ((KvBlockLayout{34, KvInteger::i8}.bytes()), 64 * (34 + 48 + 2 * 2 + 2 * 4));
}

TEST(KvBlock, from_outside_is_within_the_limits_of_what_is_written) {
  const int64_t width = 40, tokens = 64;
  const auto k = random_rows(tokens * width, 3), v = random_rows(tokens * width, 4);
  const auto accepts = [](const std::vector<std::byte>& block, KvInteger integer) {
    return within_limits({width, integer}, block);
  };
  for (KvInteger integer : {KvInteger::i16, KvInteger::i8}) {
    const KvBlockLayout layout{width, integer};
    OwnedKv written({.integer = integer, .width = width, .tokens = tokens}, k, v);
    EXPECT_TRUE(accepts(written.memory, integer));
    const std::vector<std::byte> zeros(static_cast<size_t>(layout.bytes()));
    EXPECT_TRUE(accepts(zeros, integer));
    // The last integer of the values, and the last factor.
    const auto last = static_cast<size_t>(layout.key_factors() - layout.integer_bytes());
    auto block = zeros;
    if (integer == KvInteger::i16) {
      for (const auto& [word, fits] : std::vector<std::pair<int16_t, bool>>{
               {4095, true}, {-4095, true}, {4096, false}, {-4096, false}}) {
        std::memcpy(block.data() + last, &word, sizeof word);
        EXPECT_EQ(accepts(block, integer), fits) << word;
      }
      continue;
    }
    for (const auto& [byte, fits] :
         std::vector<std::pair<int, bool>>{{127, true}, {129, true}, {128, false}}) {
      block[last] = static_cast<std::byte>(byte);
      EXPECT_EQ(accepts(block, integer), fits) << byte;
    }
    block = zeros;
    block[static_cast<size_t>(layout.key_scales()) - 1] = std::byte{32};
    EXPECT_TRUE(accepts(block, integer));
    block[static_cast<size_t>(layout.key_scales()) - 1] = std::byte{33};
    EXPECT_FALSE(accepts(block, integer));
  }
}

TEST(KvBlock, keeps_zeros_as_zeros_and_marks_what_is_not_a_number) {
  for (KvInteger integer : {KvInteger::i16, KvInteger::i8}) {
    const int64_t width = 40;
    std::vector<float> zeros(width, 0.0f), wrong(width, 1.0f), small(width, 1e-38f);
    wrong[35] = -INFINITY;
    const KvShape shape = {.integer = integer, .width = width, .tokens = 1};
    OwnedKv of_zeros(shape, zeros, small), of_wrong(shape, wrong, zeros), wrong_value(shape, zeros, wrong);
    EXPECT_EQ(stored_entry(of_zeros.view(), 0, 0).key, zeros);
    EXPECT_EQ(stored_entry(of_zeros.view(), 0, 0).value, zeros);  // too small for a scale with an inverse
    for (float found : stored_entry(of_wrong.view(), 0, 0).key) EXPECT_TRUE(std::isnan(found));
    EXPECT_EQ(stored_entry(of_wrong.view(), 0, 0).value, zeros);
    for (float found : stored_entry(wrong_value.view(), 0, 0).key) EXPECT_TRUE(std::isnan(found));
    for (float found : stored_entry(wrong_value.view(), 0, 0).value) EXPECT_TRUE(std::isnan(found));
  }
}

}  // namespace
}  // namespace qvl
