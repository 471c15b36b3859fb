// Budgets, what goes first, and who keeps what is gone.
#include "pipeline/cache/memory_cache.h"

#include <gtest/gtest.h>

#include <string>

namespace qvl {
namespace {

using Cache = MemoryCache<const std::string>;

ContentKey key(uint64_t number) { return {.high = 1, .low = number}; }
Cache::Entry entry(const std::string& text) { return std::make_shared<const std::string>(text); }

TEST(MemoryCache, drops_what_was_used_longest_ago_when_the_budget_is_full) {
  Cache cache(30);
  for (uint64_t i = 0; i < 3; ++i) cache.put(key(i), entry(std::to_string(i)), 10);
  EXPECT_EQ(*cache.find(key(0)), "0");
  cache.put(key(3), entry("3"), 10);
  EXPECT_EQ(cache.find(key(1)), nullptr);
  for (uint64_t i : {0, 2, 3}) EXPECT_NE(cache.find(key(i)), nullptr) << i;
  EXPECT_EQ(cache.bytes(), 30u);
}

TEST(MemoryCache, keeps_nothing_larger_than_its_budget_and_nothing_without_one) {
  Cache cache(10), none(0);
  cache.put(key(1), entry("1"), 10);
  cache.put(key(2), entry("2"), 11);
  none.put(key(1), entry("1"), 1);
  EXPECT_NE(cache.find(key(1)), nullptr);
  EXPECT_EQ(cache.find(key(2)), nullptr);
  EXPECT_EQ(none.find(key(1)), nullptr);
}

TEST(MemoryCache, replaces_an_entry_under_the_same_key) {
  Cache cache(10);
  cache.put(key(1), entry("old"), 6);
  cache.put(key(1), entry("new"), 5);
  EXPECT_EQ(*cache.find(key(1)), "new");
  EXPECT_EQ(cache.bytes(), 5u);
}

TEST(MemoryCache, gives_back_the_oldest_first_and_nothing_that_is_in_use) {
  Cache cache(40);
  for (uint64_t i = 0; i < 4; ++i) cache.put(key(i), entry(std::to_string(i)), 10);
  const auto used = cache.find(key(0));
  (void)cache.find(key(1));
  EXPECT_EQ(cache.reclaim(11), 20u);  // 2 and 3: the others were used later
  EXPECT_EQ(cache.find(key(2)), nullptr);
  EXPECT_EQ(cache.find(key(3)), nullptr);
  EXPECT_EQ(cache.reclaim(100), 10u);
  EXPECT_EQ(cache.find(key(0)), used);
  EXPECT_EQ(cache.bytes(), 10u);
}

TEST(MemoryCache, leaves_an_entry_to_those_who_have_it) {
  Cache cache(10);
  cache.put(key(1), entry("kept"), 10);
  const auto held = cache.find(key(1));
  cache.put(key(2), entry("next"), 10);
  EXPECT_EQ(cache.find(key(1)), nullptr);
  EXPECT_EQ(*held, "kept");
}

TEST(MemoryCache, tells_what_nobody_uses_and_looking_is_no_use) {
  Cache cache(20);
  cache.put(key(1), entry("1"), 10);
  cache.put(key(2), entry("2"), 10);
  const Cache::Entry held = cache.look_at(key(1));
  EXPECT_EQ(*held, "1");
  EXPECT_EQ(cache.look_at(key(3)), nullptr);
  EXPECT_EQ(cache.idle_bytes(), 10u);
  cache.put(key(3), entry("3"), 10);
  EXPECT_EQ(cache.look_at(key(1)), nullptr) << "it was used longest ago all the same";
  EXPECT_EQ(cache.idle_bytes(), 20u);
}

}  // namespace
}  // namespace qvl
