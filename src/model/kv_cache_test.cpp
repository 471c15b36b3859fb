#include "model/kv_cache.h"

#include <gtest/gtest.h>

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
  KvCache cache(small_config());
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

TEST(KvCache, forgets_the_end) {
  KvCache cache(small_config());
  cache.reserve(5);
  cache.commit(5);
  cache.truncate(2);
  EXPECT_EQ(cache.size(), 2);
}

TEST(KvCache, counts_keys_and_values_of_all_layers) {
  EXPECT_EQ(KvCache::bytes_per_token(small_config()), 64u);
}

}  // namespace
}  // namespace qvl
