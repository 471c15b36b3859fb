#include "model/kv_cache.h"

#include <gtest/gtest.h>

#include <cstring>

namespace qvl {
namespace {

TextConfig small_config() {
  TextConfig config;
  config.num_hidden_layers = 2;
  config.num_key_value_heads = 1;
  config.head_dim = 4;
  return config;
}

TEST(KvCache, keeps_what_it_holds_while_it_grows) {
  KvCache cache(small_config(), KvForm::f32);
  cache.reserve(1);
  for (int64_t layer = 0; layer < 2; ++layer) {
    for (int i = 0; i < 4; ++i) {
      cache.keys(layer)[i] = static_cast<float>(10 * layer + i);
      cache.values(layer)[i] = static_cast<float>(100 + 10 * layer + i);
    }
  }
  cache.commit(1);
  cache.reserve(1000);
  EXPECT_EQ(cache.size(), 1);
  EXPECT_EQ(cache.keys(1)[3], 13);
  EXPECT_EQ(cache.values(0)[2], 102);
}

TEST(KvCache, keeps_blocks_of_every_head_while_it_grows) {
  TextConfig config = small_config();
  config.num_key_value_heads = 2;
  for (KvForm form : {KvForm::i16, KvForm::i8}) {
    KvCache cache(config, form);
    cache.reserve(3);
    const KvBlocks blocks = cache.blocks(1);
    EXPECT_EQ(blocks.integer, form == KvForm::i16 ? KvInteger::i16 : KvInteger::i8);
    const std::vector<float> key = {1, 2, 3, 4};
    for (int64_t head = 0; head < 2; ++head) {
      write_kv_entry(blocks, {.head = head, .token = 2, .key = key.data(), .value = key.data()},
                     kKvRoundingScalar);
    }
    const std::vector<std::byte> before(blocks.block(1, 0), blocks.block(1, 0) + blocks.layout().bytes());
    cache.commit(3);
    cache.reserve(500);
    const KvBlocks grown = cache.blocks(1);
    EXPECT_TRUE(std::equal(before.begin(), before.end(), grown.block(1, 0)));
  }
}

TEST(KvCache, forgets_the_end) {
  KvCache cache(small_config(), KvForm::f32);
  cache.reserve(5);
  cache.commit(5);
  cache.truncate(2);
  EXPECT_EQ(cache.size(), 2);
}

TEST(KvCache, counts_keys_and_values_of_all_layers) {
  EXPECT_EQ(KvCache::bytes_per_token(small_config(), KvForm::f32), 64u);
  // Two layers of one head: 64 keys of 4 and 64 values padded to 16, 2 bytes each, and 64 pairs of scales.
  EXPECT_EQ(KvCache::bytes_per_token(small_config(), KvForm::i16),
            2u * (64 * 4 * 2 + 64 * 16 * 2 + 512) / 64);
  // The same in bytes, with a factor for the key and one for the value.
  EXPECT_EQ(KvCache::bytes_per_token(small_config(), KvForm::i8),
            2u * (64 * 4 + 64 * 16 + 2 * 64 + 512) / 64);
}

TEST(KvCache, of_8_bits_takes_52_percent_of_16_bits) {
  TextConfig config;  // of 2B
  config.num_hidden_layers = 28;
  config.num_key_value_heads = 8;
  config.head_dim = 128;
  EXPECT_EQ(KvCache::bytes_per_token(config, KvForm::f32), 28u * 8 * 2 * 128 * 4);
  EXPECT_EQ(KvCache::bytes_per_token(config, KvForm::i16), 28u * 8 * 2 * (128 * 2 + 4));
  EXPECT_EQ(KvCache::bytes_per_token(config, KvForm::i8), 28u * 8 * 2 * (128 + 4 + 4));
}

// Fills all memory of `cache` with bytes that differ everywhere, and holds `tokens`.
void fill(KvCache& cache, int64_t layers, int64_t tokens) {
  cache.reserve(tokens);
  for (int64_t layer = 0; layer < layers; ++layer) {
    if (cache.form() == KvForm::f32) {
      for (int64_t i = 0; i < cache.capacity() * 8; ++i) {
        cache.keys(layer)[i] = static_cast<float>(1000 * layer + i);
        cache.values(layer)[i] = static_cast<float>(1000 * layer + i) + 0.5f;
      }
      continue;
    }
    const KvBlocks blocks = cache.blocks(layer);
    for (int64_t i = 0; i < 2 * blocks.head_stride; ++i)
      blocks.data[i] = static_cast<std::byte>(7 * layer + i % 251);
  }
  cache.commit(tokens);
}

TEST(KvCache, takes_whole_blocks_of_another_one_bit_by_bit) {
  TextConfig config = small_config();
  config.num_key_value_heads = 2;
  for (KvForm form : {KvForm::f32, KvForm::i16, KvForm::i8}) {
    SCOPED_TRACE(static_cast<int>(form));
    KvCache from(config, form), to(config, form);
    fill(from, 2, 3 * kBlockKeys + 5);
    to.reserve(10 * kBlockKeys);  // heads lie further apart here
    std::vector<std::byte> block(from.block_bytes()), again(from.block_bytes());
    for (int64_t index : {2, 0}) {
      from.read_block(index, block);
      to.append_block(block);
      to.read_block(to.size() / kBlockKeys - 1, again);
      EXPECT_EQ(block, again) << index;
    }
    EXPECT_EQ(to.size(), 2 * kBlockKeys);
    if (form == KvForm::f32) {
      EXPECT_EQ(to.values(1)[kBlockKeys * 8 - 1], 1000 + 3 * kBlockKeys * 8 - 1 + 0.5f);
      EXPECT_EQ(to.keys(1)[kBlockKeys * 8], 1000);
    } else {
      EXPECT_EQ(to.blocks(1).block(1, 0)[3], from.blocks(1).block(1, 2)[3]);
      EXPECT_EQ(to.blocks(0).block(1, 1)[3], from.blocks(0).block(1, 0)[3]);
    }
  }
}

TEST(KvCache, takes_a_block_that_is_held_in_part_and_goes_on_behind_it) {
  TextConfig config = small_config();
  config.num_key_value_heads = 2;
  for (KvForm form : {KvForm::f32, KvForm::i16, KvForm::i8}) {
    SCOPED_TRACE(static_cast<int>(form));
    KvCache from(config, form), to(config, form);
    fill(from, 2, kBlockKeys + 5);
    to.reserve(kBlockKeys + 5);
    std::vector<std::byte> block(from.block_bytes()), again(from.block_bytes());
    for (int64_t index : {0, 1}) {
      from.read_block(index, block);
      to.append_block(block, index == 0 ? kBlockKeys : 5);
    }
    EXPECT_EQ(to.size(), kBlockKeys + 5);
    to.read_block(1, again);
    EXPECT_EQ(block, again);
    if (form != KvForm::f32) continue;
    // Five rows of keys and values are held of each layer; behind them nothing that was left in the memory.
    std::vector<float> floats(block.size() / sizeof(float));
    std::memcpy(floats.data(), block.data(), block.size());
    EXPECT_EQ(floats[5 * 8 - 1], kBlockKeys * 8 + 5 * 8 - 1);
    EXPECT_EQ(floats[5 * 8], 0);
    EXPECT_EQ(to.keys(0)[kBlockKeys * 8 + 3], kBlockKeys * 8 + 3);
  }
}

TEST(KvCache, accepts_blocks_that_attention_can_compute_with) {
  for (KvForm form : {KvForm::f32, KvForm::i16, KvForm::i8}) {
    const KvCache cache(small_config(), form);
    std::vector<std::byte> block(cache.block_bytes());
    EXPECT_TRUE(cache.accepts(block));
    // The first key of the second layer: -128 in bytes, -32640 in words.
    const size_t second = block.size() / 2;
    block[second] = block[second + 1] = std::byte{0x80};
    EXPECT_EQ(cache.accepts(block), form == KvForm::f32) << static_cast<int>(form);
  }
}

}  // namespace
}  // namespace qvl
