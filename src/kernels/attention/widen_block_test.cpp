#include "kernels/attention/widen_block.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/attention/blocked_attention.h"
#include "kernels/attention/kv_testing.h"

namespace qvl {
namespace {

// All blocks of one head, widened.
std::vector<std::byte> widened(Isa isa, const KvBlocks& kv, int64_t tokens) {
  std::vector<std::byte> out;
  WideBlock wide;
  const int64_t bytes = KvBlockLayout{kv.width}.bytes();
  for (int64_t block = 0; block < (tokens + kBlockKeys - 1) / kBlockKeys; ++block) {
    std::fill(std::begin(wide.bytes), std::end(wide.bytes), std::byte{0xAA});
    EXPECT_EQ(widen_block(isa)(kv.block(0, block), kv.width, wide), wide.bytes);
    out.insert(out.end(), wide.bytes, wide.bytes + bytes);
    for (int64_t i = bytes; i < std::ssize(wide.bytes); ++i) EXPECT_EQ(wide.bytes[i], std::byte{0xAA});
  }
  return out;
}

TEST(WidenBlock, holds_the_same_numbers_in_16_bits) {
  for (int64_t width : {2, 16, 30, 32, 40, 72, 128}) {
    const int64_t tokens = 100;
    auto k = random_rows(tokens * width, 3);
    const auto v = random_rows(tokens * width, 4);
    k[5] = NAN;
    for (size_t i = 0; i < k.size(); i += 29) k[i] *= 40;
    OwnedKv narrow({.integer = KvInteger::i8, .width = width, .tokens = tokens}, k, v);
    for (Isa isa : all_isas()) {
      if (!supported(isa)) continue;
      auto memory = widened(isa, narrow.view(), tokens);
      EXPECT_EQ(memory, widened(Isa::scalar, narrow.view(), tokens)) << name_of(isa) << " width " << width;
      const KvBlocks wide{memory.data(), std::ssize(memory), width};
      for (int64_t t = 0; t < 2 * kBlockKeys; ++t) {  // also the places of keys that are not there yet
        const StoredEntry found = stored_entry(wide, 0, t), expected = stored_entry(narrow.view(), 0, t);
        for (size_t i = 0; i < found.key.size(); ++i) {
          // The factor joins the scale in one and the integer in the other: a rounding apart.
          if (std::isnan(expected.key[i])) {
            ASSERT_TRUE(std::isnan(found.key[i])) << name_of(isa) << " width " << width;
          } else {
            ASSERT_FLOAT_EQ(found.key[i], expected.key[i]) << name_of(isa) << " width " << width;
          }
          ASSERT_FLOAT_EQ(found.value[i], expected.value[i]) << name_of(isa) << " width " << width;
        }
      }
    }
  }
}

// Attention over 8-bit blocks is attention over what they are widened to, bit for bit.
TEST(WidenBlock, changes_no_bit_of_attention) {
  for (int64_t width : {30, 128}) {
    const int64_t tokens = 150, queries = 70;
    const auto q = random_rows(queries * width, 5), k = random_rows(tokens * width, 6);
    OwnedKv narrow({.integer = KvInteger::i8, .width = width, .tokens = tokens}, k, k);
    for (Isa isa : all_isas()) {
      if (!supported(isa)) continue;
      auto memory = widened(isa, narrow.view(), tokens);
      std::vector<float> direct(q.size()), through_words(q.size());
      BlockedAttentionArgs args = {.q = q.data(),
                                   .kv = narrow.view(),
                                   .out = direct.data(),
                                   .queries = queries,
                                   .keys = tokens,
                                   .first = tokens - queries,
                                   .heads = 1,
                                   .kv_heads = 1,
                                   .q_stride = width,
                                   .mask = AttentionArgs::Mask::causal};
      blocked_attention(isa)(args, {.kv_head = 0, .begin = 0, .end = queries});
      args.kv = {memory.data(), std::ssize(memory), width};
      args.out = through_words.data();
      blocked_attention(isa)(args, {.kv_head = 0, .begin = 0, .end = queries});
      EXPECT_EQ(direct, through_words) << name_of(isa) << " width " << width;
    }
  }
}

}  // namespace
}  // namespace qvl
