#include "model/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "memory/memory_testing.h"

namespace qvl {
namespace {

TextConfig small_config() {
  TextConfig config;
  config.num_hidden_layers = 2;
  config.num_key_value_heads = 1;
  config.head_dim = 4;
  return config;
}

// Keys and values of every token are numbers of their own.
float number(int64_t layer, int64_t token, int64_t i) {
  return static_cast<float>(10'000 * layer + 10 * token + i);
}

// Writes the tokens [first, last) of a cache in float32 and holds them.
void write(KvCache& cache, int64_t first, int64_t last, float more = 0) {
  ASSERT_EQ(cache.size(), first);
  cache.reserve(last - first);
  for (int64_t layer = 0; layer < 2; ++layer) {
    for (int64_t token = first; token < last; ++token) {
      for (int64_t i = 0; i < 4; ++i) {
        cache.key(layer, token)[i] = number(layer, token, i) + more;
        cache.value(layer, token)[i] = -number(layer, token, i) - more;
      }
    }
  }
  cache.commit(last - first);
}

// Keys of [first, last), as attention finds them.
std::vector<float> keys_of(const KvCache& cache, int64_t layer, int64_t first, int64_t last) {
  const RowPages rows = cache.rows(layer);
  std::vector<float> keys;
  for (int64_t token = first; token < last; ++token) {
    const float* row = rows.row(rows.keys, token, 4);
    keys.insert(keys.end(), row, row + 4);
  }
  return keys;
}

TEST(KvCache, keeps_what_it_holds_where_it_is_while_it_grows) {
  KvCache cache(small_config(), KvForm::f32);
  write(cache, 0, 100);
  const float* before = cache.rows(1).row(cache.rows(1).values, 99, 4);
  write(cache, 100, 1000);
  EXPECT_EQ(cache.size(), 1000);
  EXPECT_EQ(cache.capacity(), 1024);
  for (int64_t token : {0, 63, 64, 99, 100, 999}) {
    for (int64_t layer = 0; layer < 2; ++layer) {
      const RowPages rows = cache.rows(layer);
      EXPECT_EQ(rows.row(rows.keys, token, 4)[3], number(layer, token, 3));
      EXPECT_EQ(rows.row(rows.values, token, 4)[2], -number(layer, token, 2));
    }
  }
  EXPECT_EQ(cache.rows(1).row(cache.rows(1).values, 99, 4), before);
}

TEST(KvCache, has_the_blocks_of_every_layer_and_head_in_a_page) {
  TextConfig config = small_config();
  config.num_key_value_heads = 2;
  for (KvForm form : {KvForm::i16, KvForm::i8}) {
    KvCache cache(config, form);
    cache.reserve(3);
    const KvBlocks blocks = cache.blocks(1);
    EXPECT_EQ(blocks.integer, form == KvForm::i16 ? KvInteger::i16 : KvInteger::i8);
    EXPECT_EQ(blocks.block(1, 0) - blocks.block(0, 0), blocks.layout().bytes());
    EXPECT_EQ(blocks.block(0, 0) - cache.blocks(0).block(0, 0), 2 * blocks.layout().bytes());
    EXPECT_EQ(cache.block_bytes(), static_cast<uint64_t>(4 * blocks.layout().bytes()));
    const std::vector<float> key = {1, 2, 3, 4};
    for (int64_t head = 0; head < 2; ++head) {
      write_kv_entry(blocks, {.head = head, .token = 2, .key = key.data(), .value = key.data()},
                     kKvRoundingScalar);
    }
    const std::vector<std::byte> before(blocks.block(1, 0), blocks.block(1, 0) + blocks.layout().bytes());
    cache.commit(3);
    cache.reserve(500);
    EXPECT_TRUE(std::equal(before.begin(), before.end(), cache.blocks(1).block(1, 0)));
  }
}

// A ledger and a pool that keeps nothing.
struct Memory {
  explicit Memory(uint64_t cap = uint64_t{1} << 40) : ledger(cap) {}
  Ledger ledger;
  CountedMemory system;
  TensorPool pool{ledger, system, 0};
  MemoryHome home() { return {.pool = &pool, .part = MemoryPart::other}; }
  uint64_t pages() const { return ledger.report().of(MemoryPart::kv).held_bytes / kPage; }
  // Two layers of 64 keys and values of 4 floats: one of the pool's sizes.
  static constexpr uint64_t kPage = 2 * 2 * 64 * 4 * 4;
};

std::vector<KvPage> shared_pages(KvCache& cache, int64_t first, int64_t last) {
  std::vector<KvPage> pages;
  for (int64_t index = first; index < last; ++index) pages.push_back(cache.share_page(index));
  return pages;
}

// Two caches of two pages that both hold.
struct SharedBeginning {
  SharedBeginning() {
    write(first, 0, 128);
    second.append_pages(shared_pages(first, 0, 2));
  }
  Memory memory;
  KvCache first{small_config(), KvForm::f32, memory.home()},
      second{small_config(), KvForm::f32, memory.home()};
};

TEST(KvCache, shares_pages_that_are_counted_once) {
  Memory memory;
  auto first = std::make_unique<KvCache>(small_config(), KvForm::f32, memory.home());
  KvCache second(small_config(), KvForm::f32, memory.home());
  write(*first, 0, 200);
  EXPECT_EQ(memory.pages(), 4u);
  second.append_pages(shared_pages(*first, 0, 3));
  EXPECT_EQ(second.size(), 192);
  EXPECT_EQ(memory.pages(), 4u);
  write(second, 192, 300);
  EXPECT_EQ(memory.pages(), 6u);
  for (int64_t layer = 0; layer < 2; ++layer) {
    EXPECT_EQ(keys_of(*first, layer, 0, 200), keys_of(second, layer, 0, 200));
    EXPECT_EQ(first->rows(layer).row(0, 70, 4), second.rows(layer).row(0, 70, 4)) << "the same memory";
  }
  first.reset();
  EXPECT_EQ(memory.pages(), 5u) << "one page was nobody else's";
  EXPECT_EQ(keys_of(second, 1, 100, 101)[3], number(1, 100, 3));
}

TEST(KvCache, copies_a_shared_page_before_it_writes_into_it) {
  SharedBeginning shared;
  auto& [memory, first, second] = shared;
  const auto before = keys_of(first, 1, 0, 128);
  second.truncate(70);
  EXPECT_FALSE(second.has_room(1));
  EXPECT_EQ(second.growth_bytes({.tokens = 70}, 128), Memory::kPage);
  write(second, 70, 128, 5);
  EXPECT_EQ(memory.pages(), 3u);
  EXPECT_EQ(keys_of(first, 1, 0, 128), before);
  EXPECT_EQ(keys_of(second, 1, 0, 70), keys_of(first, 1, 0, 70));
  EXPECT_EQ(keys_of(second, 1, 70, 71)[0], number(1, 70, 0) + 5);
  // The one it was shared with is no more its own than the other's.
  first.truncate(100);
  write(first, 100, 128, 7);
  EXPECT_EQ(memory.pages(), 3u) << "the page that was shared went when the last one had its copy";
  EXPECT_EQ(keys_of(second, 0, 100, 101)[0], number(0, 100, 0) + 5);
}

TEST(KvCache, lets_go_of_shared_pages_behind_its_end_and_keeps_its_own_as_room) {
  Memory memory;
  KvCache cache(small_config(), KvForm::f32, memory.home());
  write(cache, 0, 200);
  cache.reserve(100);
  EXPECT_EQ(memory.pages(), 5u);
  { const auto others = shared_pages(cache, 0, 2); }
  cache.truncate(10);
  EXPECT_EQ(memory.pages(), 4u);
  EXPECT_EQ(cache.capacity(), 4 * kBlockKeys);
  // Room it has stands in for a copy.
  EXPECT_EQ(cache.growth_bytes({.tokens = 10}, 3 * kBlockKeys), 0u);
  EXPECT_EQ(cache.growth_bytes({.tokens = 10}, 4 * kBlockKeys), Memory::kPage);
  write(cache, 10, 3 * kBlockKeys, 1);
  EXPECT_EQ(memory.pages(), 3u);
  EXPECT_EQ(keys_of(cache, 1, 9, 10)[0], number(1, 9, 0));
  cache.truncate(0);
  cache.shrink(0);
  EXPECT_EQ(memory.pages(), 0u);
}

TEST(KvCache, foretells_what_it_takes_for_whatever_is_kept) {
  for (int64_t tokens : {0, 1, 64, 100, 192}) {
    for (int64_t shared : {0, 1, 2, 3}) {
      for (int64_t kept : {0, 10, 64, 100, 128, 150}) {
        for (int64_t pages : {0, 1, 3}) {
          for (int64_t wanted : {200, 500}) {
            if (kept > tokens || (shared > 0 && shared * kBlockKeys > tokens)) continue;
            if (pages > 0 && KvKept{kept, pages}.all_tokens() <= kept) continue;
            SCOPED_TRACE(::testing::Message() << tokens << " tokens, " << shared << " shared, " << kept
                                              << " kept, " << pages << " pages, " << wanted);
            Memory memory;
            KvCache other(small_config(), KvForm::f32, memory.home()),
                cache(small_config(), KvForm::f32, memory.home());
            write(other, 0, 6 * kBlockKeys);
            write(cache, 0, tokens);
            const auto held_too = shared_pages(cache, 0, shared);
            const KvKept left{.tokens = kept, .pages = pages};
            const uint64_t growth = cache.growth_bytes(left, wanted), before = memory.pages();
            cache.truncate(kept);
            if (pages > 0) {
              cache.append_pages(shared_pages(other, kept / kBlockKeys, kept / kBlockKeys + pages));
            }
            EXPECT_EQ(cache.size(), left.all_tokens());
            if (wanted <= cache.size()) continue;
            cache.reserve(wanted - cache.size());
            EXPECT_EQ(memory.pages(), before + growth / Memory::kPage);
            EXPECT_TRUE(cache.has_room(wanted - cache.size()));
          }
        }
      }
    }
  }
}

TEST(KvCache, is_as_it_was_where_memory_for_a_copy_or_for_growth_is_refused) {
  SharedBeginning shared;
  auto& [memory, first, second] = shared;
  second.truncate(70);
  const auto before = keys_of(second, 1, 0, 70);
  for (uint64_t room : {uint64_t{0}, Memory::kPage}) {
    memory.ledger.set_cap(2 * Memory::kPage + room);
    EXPECT_THROW(second.reserve(100), MemoryRefused) << "a copy and one page more";
    EXPECT_EQ(memory.pages(), 2u);
    EXPECT_EQ(second.size(), 70);
    EXPECT_EQ(second.capacity(), 128);
    EXPECT_EQ(keys_of(second, 1, 0, 70), before);
  }
  memory.ledger.set_cap(4 * Memory::kPage);
  write(second, 70, 170);
  EXPECT_EQ(memory.pages(), 4u);
  EXPECT_EQ(keys_of(second, 1, 0, 70), before);
}

TEST(KvCache, holds_what_others_have_computed_instead_of_its_own) {
  Memory memory;
  KvCache first(small_config(), KvForm::f32, memory.home()),
      second(small_config(), KvForm::f32, memory.home());
  write(first, 0, 130);
  write(second, 0, 130);
  EXPECT_EQ(memory.pages(), 6u);
  second.replace_page(1, first.share_page(1));
  EXPECT_EQ(memory.pages(), 5u);
  EXPECT_EQ(first.rows(0).row(0, 64, 4), second.rows(0).row(0, 64, 4));
  write(second, 130, 140);
  EXPECT_EQ(memory.pages(), 5u);
}

// In part, a page is its own; whole, that of another takes its place, and it stays as room.
TEST(KvCache, takes_pages_behind_whole_ones) {
  Memory memory;
  KvCache first(small_config(), KvForm::f32, memory.home()),
      second(small_config(), KvForm::f32, memory.home());
  write(first, 0, 192);
  write(second, 0, 100);
  second.append_pages(shared_pages(first, 1, 3));
  EXPECT_EQ(second.size(), 192);
  EXPECT_EQ(memory.pages(), 5u);
  EXPECT_EQ(second.capacity(), 4 * kBlockKeys);
  EXPECT_EQ(keys_of(second, 1, 0, 192), keys_of(first, 1, 0, 192));
  write(second, 192, 256);
  EXPECT_EQ(memory.pages(), 5u);
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

// Holds `tokens`, all memory with bytes that differ everywhere.
void fill(KvCache& cache, int64_t tokens) {
  cache.reserve(tokens);
  std::vector<std::byte> block(cache.block_bytes());
  for (int64_t first = 0; first < tokens; first += kBlockKeys) {
    for (size_t i = 0; i < block.size(); ++i) {
      block[i] = static_cast<std::byte>((i + static_cast<size_t>(first)) % 251);
    }
    cache.append_block(block, std::min(kBlockKeys, tokens - first));
  }
}

TEST(KvCache, takes_whole_blocks_of_another_one_bit_by_bit) {
  TextConfig config = small_config();
  config.num_key_value_heads = 2;
  for (KvForm form : {KvForm::f32, KvForm::i16, KvForm::i8}) {
    SCOPED_TRACE(static_cast<int>(form));
    KvCache from(config, form), to(config, form);
    fill(from, 3 * kBlockKeys + 5);
    to.reserve(10 * kBlockKeys);
    std::vector<std::byte> block(from.block_bytes()), again(from.block_bytes());
    for (int64_t index : {2, 0}) {
      from.read_block(index, block);
      EXPECT_EQ(block[7], static_cast<std::byte>((7 + index * kBlockKeys) % 251));
      to.append_block(block);
      to.read_block(to.size() / kBlockKeys - 1, again);
      EXPECT_EQ(block, again) << index;
    }
    EXPECT_EQ(to.size(), 2 * kBlockKeys);
    if (form == KvForm::f32) continue;
    EXPECT_EQ(to.blocks(1).block(1, 0)[3], from.blocks(1).block(1, 2)[3]);
    EXPECT_EQ(to.blocks(0).block(1, 1)[3], from.blocks(0).block(1, 0)[3]);
  }
}

// Files have them in this order.
TEST(KvCache, has_all_keys_before_all_values_in_a_block_of_float32) {
  KvCache cache(small_config(), KvForm::f32);
  write(cache, 0, kBlockKeys);
  std::vector<std::byte> block(cache.block_bytes());
  cache.read_block(0, block);
  std::vector<float> floats(block.size() / sizeof(float));
  std::memcpy(floats.data(), block.data(), block.size());
  const auto at = [&](int64_t piece, int64_t token, int64_t i) {
    return floats[static_cast<size_t>((piece * kBlockKeys + token) * 4 + i)];
  };
  EXPECT_EQ(at(0, 63, 2), number(0, 63, 2));
  EXPECT_EQ(at(1, 5, 1), number(1, 5, 1));
  EXPECT_EQ(at(2, 5, 1), -number(0, 5, 1));
  EXPECT_EQ(at(3, 63, 3), -number(1, 63, 3));
}

TEST(KvCache, takes_a_block_that_is_held_in_part_and_goes_on_behind_it) {
  TextConfig config = small_config();
  config.num_key_value_heads = 2;
  for (KvForm form : {KvForm::f32, KvForm::i16, KvForm::i8}) {
    SCOPED_TRACE(static_cast<int>(form));
    KvCache from(config, form), to(config, form);
    fill(from, kBlockKeys + 5);
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
    // Five rows of 8 floats are held of each layer; behind them nothing that was left in the memory.
    EXPECT_EQ(block[5 * 8 * 4 - 1], static_cast<std::byte>((5 * 8 * 4 - 1 + kBlockKeys) % 251));
    EXPECT_EQ(block[5 * 8 * 4 + 1], std::byte{0});
    to.reserve(1);
    to.key(0, kBlockKeys + 5)[0] = 3;
    to.commit(1);
    const RowPages rows = to.rows(0);
    EXPECT_EQ(rows.row(rows.keys, kBlockKeys + 5, 8)[0], 3);
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
