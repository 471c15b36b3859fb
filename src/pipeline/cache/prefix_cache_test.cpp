// Which sequences have blocks in common, and that a block comes back as it was.
#include "pipeline/cache/prefix_cache.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <numeric>

#include "base/error.h"
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

// A cache of `tokens` whose numbers tell layer and place.
KvCache filled(int64_t tokens, MemoryHome home = {}) {
  KvCache cache(small_config(), KvForm::f32, home);
  cache.reserve(tokens);
  for (int64_t layer = 0; layer < 2; ++layer) {
    for (int64_t i = 0; i < tokens * 4; ++i) {
      cache.key(layer, i / 4)[i % 4] = static_cast<float>(10'000 * layer + i);
      cache.value(layer, i / 4)[i % 4] = -cache.key(layer, i / 4)[i % 4];
    }
  }
  cache.commit(tokens);
  return cache;
}

// The same pages behind both.
void expect_same(KvCache& a, KvCache& b, int64_t tokens) {
  for (int64_t index = 0; index < tokens / kBlockKeys; ++index) {
    EXPECT_EQ(a.share_page(index), b.share_page(index)) << index;
  }
}

// As numbers, where they are not the same pages.
void expect_equal(const KvCache& a, const KvCache& b, int64_t tokens) {
  std::vector<std::byte> of_a(a.block_bytes()), of_b(b.block_bytes());
  for (int64_t index = 0; index < tokens / kBlockKeys; ++index) {
    a.read_block(index, of_a);
    b.read_block(index, of_b);
    EXPECT_EQ(of_a, of_b) << index;
  }
}

int64_t kept_tokens(const PrefixCache& prefixes, const PrefixKeys& keys) {
  return std::ssize(prefixes.look_up(keys, 0)) * kBlockKeys;
}

int64_t extend(PrefixCache& prefixes, const PrefixKeys& keys, KvCache& cache) {
  return prefixes.extend(keys, prefixes.look_up(keys, cache.size()), cache);
}

Sequence text(int64_t tokens) {
  Sequence sequence{.ids = std::vector<int32_t>(static_cast<size_t>(tokens))};
  std::iota(sequence.ids.begin(), sequence.ids.end(), 0);
  return sequence;
}

// The same with a picture of `count` tokens at `position`.
Sequence with_picture(Sequence sequence, uint64_t key, int64_t position, int64_t count) {
  auto medium = std::make_shared<Medium>();
  medium->key = {.high = 0, .low = key};
  sequence.blocks.push_back({.position = position, .count = count, .medium = medium});
  return sequence;
}

int64_t common_blocks(const PrefixKeys& a, const PrefixKeys& b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

class Prefixes : public ::testing::Test {
 protected:
  std::unique_ptr<PrefixCache> cache(uint64_t budget, const std::string& identity = "model") {
    return std::make_unique<PrefixCache>(identity, budget, MemoryHome{}, none_);
  }
  TaskPool pool_{{.name = "io"}};
  DiskCache none_{{}, pool_};
  const uint64_t block_ = MemoryHome::taken_bytes(filled(1).block_bytes());
};

TEST_F(Prefixes, have_a_key_for_each_whole_block_but_that_of_the_last_token) {
  const auto prefixes = cache(1 << 20);
  for (const auto& [tokens, blocks] : std::vector<std::pair<int64_t, int64_t>>{
           {0, 0}, {1, 0}, {63, 0}, {64, 0}, {65, 1}, {128, 1}, {129, 2}, {200, 3}}) {
    EXPECT_EQ(std::ssize(prefixes->keys_of(text(tokens))), blocks) << tokens;
  }
  EXPECT_TRUE(cache(0)->keys_of(text(200)).empty());
}

TEST_F(Prefixes, are_the_same_up_to_the_first_difference) {
  const auto prefixes = cache(1 << 20);
  const PrefixKeys keys = prefixes->keys_of(text(400));
  Sequence other = text(300);
  other.ids[130] = 7;
  EXPECT_EQ(common_blocks(keys, prefixes->keys_of(text(300))), 4);
  EXPECT_EQ(common_blocks(keys, prefixes->keys_of(other)), 2);
  EXPECT_EQ(common_blocks(keys, cache(1 << 20, "another model")->keys_of(text(400))), 0);
}

TEST_F(Prefixes, tell_pictures_behind_the_same_placeholders_apart) {
  const auto prefixes = cache(1 << 20);
  const PrefixKeys keys = prefixes->keys_of(with_picture(text(400), 1, 70, 100));
  EXPECT_EQ(common_blocks(keys, prefixes->keys_of(with_picture(text(400), 1, 70, 100))), 6);
  EXPECT_EQ(common_blocks(keys, prefixes->keys_of(with_picture(text(400), 2, 70, 100))), 1);
  EXPECT_EQ(common_blocks(keys, prefixes->keys_of(with_picture(text(400), 1, 70, 101))), 1);
  EXPECT_EQ(common_blocks(keys, prefixes->keys_of(with_picture(text(400), 1, 128, 100))), 1);
  EXPECT_EQ(common_blocks(keys, prefixes->keys_of(text(400))), 1);
}

TEST_F(Prefixes, come_back_as_they_were) {
  const auto prefixes = cache(1 << 20);
  const PrefixKeys keys = prefixes->keys_of(text(200));
  KvCache from = filled(200), to(small_config(), KvForm::f32);
  prefixes->keep(keys, from);
  EXPECT_EQ(kept_tokens(*prefixes, keys), 192);
  to.reserve(300);
  EXPECT_EQ(extend(*prefixes, keys, to), 192);
  EXPECT_EQ(to.size(), 192);
  expect_same(from, to, 192);
  EXPECT_EQ(extend(*prefixes, keys, to), 0);
  EXPECT_EQ(prefixes->stats().reused_tokens, 192u);
}

TEST_F(Prefixes, extend_a_sequence_that_ends_within_a_block_only_where_they_reach_further) {
  const auto prefixes = cache(1 << 20);
  const PrefixKeys keys = prefixes->keys_of(text(200));
  KvCache from = filled(200), part = filled(200);
  prefixes->keep({keys[0], keys[1]}, from);
  part.truncate(100);
  EXPECT_EQ(extend(*prefixes, keys, part), 28);
  EXPECT_EQ(part.size(), 128);
  part.commit(10);
  EXPECT_EQ(extend(*prefixes, keys, part), 0);
  EXPECT_EQ(part.size(), 138) << "nothing was forgotten for nothing";
}

TEST_F(Prefixes, end_where_a_block_is_missing) {
  const auto prefixes = cache(2 * block_);
  const PrefixKeys keys = prefixes->keys_of(text(300));
  KvCache long_one = filled(300), other_one = filled(100);
  prefixes->keep(keys, long_one);
  EXPECT_EQ(kept_tokens(*prefixes, keys), 128) << "the beginning stays where all of it has no room";
  Sequence other = text(100);
  other.ids[0] = 9;
  prefixes->keep(prefixes->keys_of(other), other_one);
  EXPECT_EQ(kept_tokens(*prefixes, keys), 64) << "the end goes first";
  EXPECT_EQ(prefixes->reclaim(block_), 0u) << "somebody holds all of them";
  long_one.truncate(0);
  EXPECT_EQ(prefixes->idle_bytes(), block_);
  EXPECT_EQ(prefixes->reclaim(2 * block_), block_) << "one of two";
  EXPECT_EQ(kept_tokens(*prefixes, keys), 0);
  EXPECT_EQ(kept_tokens(*prefixes, prefixes->keys_of(other)), 64);
}

TEST_F(Prefixes, are_held_once_by_all_that_begin_alike) {
  Ledger ledger(uint64_t{1} << 30);
  CountedMemory system;
  TensorPool pool(ledger, system, 0);
  const MemoryHome home{.pool = &pool, .part = MemoryPart::caches};
  const auto pages = [&] { return ledger.report().of(MemoryPart::kv).held_bytes / block_; };
  PrefixCache prefixes("model", 1 << 20, home, none_);
  const PrefixKeys keys = prefixes.keys_of(text(200));
  std::vector<KvCache> caches;
  caches.push_back(filled(200, home));
  EXPECT_EQ(pages(), 4u);
  prefixes.keep(keys, caches[0]);
  for (int i = 0; i < 8; ++i) {
    caches.emplace_back(small_config(), KvForm::f32, home);
    EXPECT_EQ(extend(prefixes, keys, caches.back()), 192);
  }
  EXPECT_EQ(pages(), 4u);
  EXPECT_EQ(ledger.report().held_bytes, 4 * block_);
  // Who has computed the same meanwhile holds what is kept.
  caches.push_back(filled(200, home));
  EXPECT_EQ(pages(), 8u);
  prefixes.keep(keys, caches.back());
  EXPECT_EQ(pages(), 5u);
  EXPECT_EQ(prefixes.reclaim(uint64_t{1} << 30), 0u);
  while (caches.size() > 1) caches.pop_back();
  EXPECT_EQ(pages(), 4u);
  caches.pop_back();
  EXPECT_EQ(pages(), 3u) << "kept, and nobody else's";
  EXPECT_EQ(prefixes.idle_bytes(), 3 * block_);
  EXPECT_EQ(prefixes.reclaim(block_), block_);
  EXPECT_EQ(pages(), 2u);
  EXPECT_EQ(kept_tokens(prefixes, keys), 128);
}

TEST_F(Prefixes, that_nobody_else_holds_are_newly_held) {
  const auto prefixes = cache(1 << 20);
  const PrefixKeys keys = prefixes->keys_of(text(200));
  KvCache from = filled(200);
  prefixes->keep(keys, from);
  EXPECT_EQ(newly_held_bytes(prefixes->look_up(keys, 0)), 0u);
  from.truncate(70);  // the second page it still holds in part
  EXPECT_EQ(newly_held_bytes(prefixes->look_up(keys, 0)), block_);
  EXPECT_EQ(newly_held_bytes(prefixes->look_up(keys, 150)), block_);
  EXPECT_EQ(newly_held_bytes(prefixes->look_up(keys, 192)), 0u) << "none reach further";
  from.truncate(0);
  EXPECT_EQ(newly_held_bytes(prefixes->look_up(keys, 0)), 3 * block_);
}

// What the cache drops while it is held goes when the last one lets go of it.
TEST_F(Prefixes, that_are_dropped_stay_with_those_that_hold_them) {
  const auto prefixes = cache(2 * block_);
  KvCache from = filled(200), to(small_config(), KvForm::f32), other = filled(130);
  const PrefixKeys keys = prefixes->keys_of(text(200));
  prefixes->keep(keys, from);
  EXPECT_EQ(extend(*prefixes, keys, to), 128);
  Sequence another = text(130);
  another.ids[0] = 9;
  prefixes->keep(prefixes->keys_of(another), other);
  EXPECT_EQ(kept_tokens(*prefixes, keys), 0);
  EXPECT_EQ(prefixes->stats().bytes, 2 * block_);
  expect_same(from, to, 128);
  KvCache plain = filled(200);
  expect_equal(plain, to, 128);
}

TEST_F(Prefixes, are_read_from_the_disk_into_memory) {
  const auto folder = std::filesystem::temp_directory_path() / ("qvl-prefixes-" + std::to_string(::getpid()));
  std::filesystem::remove_all(folder);
  const DiskCacheOptions options{.folder = folder, .budget_bytes = 1 << 20};
  KvCache from = filled(200), to(small_config(), KvForm::f32);
  PrefixKeys keys;
  {
    DiskCache disk(options, pool_);
    PrefixCache prefixes("model", 1 << 20, {}, disk);
    keys = prefixes.keys_of(text(200));
    prefixes.keep(keys, from);
  }
  DiskCache disk(options, pool_);
  PrefixCache prefixes("model", 1 << 20, {}, disk);
  EXPECT_EQ(kept_tokens(prefixes, keys), 0);
  prefixes.fetch(keys, to.block_bytes());
  EXPECT_EQ(prefixes.stats().disk_tokens, 192u);
  to.reserve(200);
  EXPECT_EQ(extend(prefixes, keys, to), 192);
  expect_equal(from, to, 192);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace qvl
