// Blocks taken over from GGUF files, against what their decoder says they hold.
#include "kernels/matmul/repack.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/matmul/encode.h"
#include "tensor/decode.h"

namespace qvl {
namespace {

// Rows of one stored type for one group: random bytes, with sane scales where `scale_at` says in each block.
struct Stored {
  Stored(DType type, int64_t outputs, int64_t length, size_t scale_at, unsigned seed)
      : dtype(type), row_bytes(*bytes_for(type, static_cast<uint64_t>(length))) {
    std::mt19937 random(seed);
    bytes.resize(row_bytes * static_cast<size_t>(outputs));
    for (std::byte& b : bytes) b = static_cast<std::byte>(random());
    std::uniform_real_distribution<float> scale(-0.01f, 0.01f);
    for (size_t block = 0; block < bytes.size(); block += info(type).bytes_per_block) {
      set_scale(block + scale_at, scale(random));
    }
    in = {.rows = {}, .outputs = outputs, .length = length};
    for (int64_t o = 0; o < outputs; ++o) in.rows[o] = bytes.data() + static_cast<size_t>(o) * row_bytes;
  }

  void set_scale(size_t at, float value) {
    const uint16_t bits = f32_to_f16(value);
    std::memcpy(bytes.data() + at, &bits, sizeof bits);
  }
  // Of a block of Q4_0.
  float scale(int64_t output, int64_t input) const {
    uint16_t bits;
    std::memcpy(&bits, in.rows[output] + input / 32 * 18, sizeof bits);
    return f16_to_f32(bits);
  }
  std::vector<float> row(int64_t output) const {
    std::vector<float> values(static_cast<size_t>(in.length));
    decoder(dtype)(in.rows[output], values.size(), values.data());
    return values;
  }

  DType dtype;
  size_t row_bytes;
  std::vector<std::byte> bytes;
  StoredRows in;
};

TEST(Repack, takes_only_what_has_the_levels_of_the_form) {
  for (DType stored : {DType::f32, DType::f16, DType::bf16, DType::q8_0, DType::q4_0, DType::q4_k,
                       DType::q5_k, DType::q6_k}) {
    for (WeightForm form : {WeightForm::stored, WeightForm::q8, WeightForm::q7, WeightForm::q4}) {
      const bool expected = (stored == DType::q4_0 && form == WeightForm::q4) ||
                            (stored == DType::q6_k && form == WeightForm::q7);
      EXPECT_EQ(can_repack(stored, form), expected) << info(stored).name << " " << name_of(form);
    }
  }
}

TEST(Repack, of_q4_0_keeps_every_level_and_rounds_the_scales_to_their_unit) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    const int64_t outputs = 1 + seed % kPanel, length = kSubgroup * (1 + seed / 16 % 8);
    const Stored stored(DType::q4_0, outputs, length, 0, seed);
    Q4Block block;
    repack_q4_0(stored.in, block);
    for (int64_t o = 0; o < kPanel; ++o) {
      const std::vector<float> expected = o < outputs ? stored.row(o) : std::vector<float>();
      const float unit = bf16_to_f32(block.unit[o]);
      for (int64_t i = 0; i < kGroup; ++i) {
        const float found = decode_q4(block, o, i);
        if (i >= std::ssize(expected)) {
          ASSERT_EQ(found, 0) << seed << " " << o << " " << i;
          continue;
        }
        // The scale times the file's level, the scale off by half a unit.
        const float value = expected[static_cast<size_t>(i)], scale = stored.scale(o, i);
        const float level = std::round(value / scale);
        ASSERT_LE(std::abs(found - value), 0.5001f * unit * std::abs(level)) << seed << " " << o << " " << i;
      }
    }
  }
}

TEST(Repack, of_q6_k_is_exact) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    const int64_t outputs = 1 + seed % kPanel;
    const Stored stored(DType::q6_k, outputs, kGroup, 208, seed);
    Q7Block block;
    repack_q6_k(stored.in, block);
    for (int64_t o = 0; o < kPanel; ++o) {
      const std::vector<float> expected =
          o < outputs ? stored.row(o) : std::vector<float>(static_cast<size_t>(kGroup));
      for (int64_t i = 0; i < kGroup; ++i) {
        ASSERT_EQ(decode_q7(block, o, i), expected[static_cast<size_t>(i)]) << seed << " " << o << " " << i;
      }
    }
  }
}

TEST(Repack, of_a_scale_that_is_not_finite_poisons_its_row_alone) {
  Stored q4_0(DType::q4_0, 3, kGroup, 0, 1);
  q4_0.set_scale(q4_0.row_bytes + 18, INFINITY);
  Q4Block q4;
  repack_q4_0(q4_0.in, q4);
  Stored q6_k(DType::q6_k, 3, kGroup, 208, 1);
  q6_k.set_scale(q6_k.row_bytes + 208, NAN);
  Q7Block q7;
  repack_q6_k(q6_k.in, q7);
  for (int64_t o = 0; o < 3; ++o) {
    EXPECT_EQ(std::isnan(decode_q4(q4, o, 0)), o == 1) << o;
    EXPECT_EQ(std::isnan(decode_q7(q7, o, 0)), o == 1) << o;
  }
}

}  // namespace
}  // namespace qvl
