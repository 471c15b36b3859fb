#include "tokenizer/bpe.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace qvl {
namespace {

std::array<TokenId, 256> identity() {
  std::array<TokenId, 256> ids{};
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<TokenId>(i);
  return ids;
}

struct Rules {
  std::map<std::pair<TokenId, TokenId>, Merge> merges;
  TokenId next = 256;

  void add(TokenId left, TokenId right) {
    Merge merge{.rank = static_cast<int32_t>(merges.size()), .merged = next};
    if (merges.emplace(std::pair(left, right), merge).second) ++next;
  }
  MergeTable table() const {
    MergeTable out(merges.size());
    for (const auto& [pair, merge] : merges) EXPECT_TRUE(out.insert(pair.first, pair.second, merge));
    return out;
  }
};

// The definition: look at all neighbours, merge the leftmost of lowest rank, repeat.
std::vector<TokenId> merge_by_definition(const Rules& rules, std::string_view word) {
  std::vector<TokenId> ids;
  for (char c : word) ids.push_back(static_cast<unsigned char>(c));
  while (true) {
    size_t best = ids.size();
    Merge lowest{.rank = INT32_MAX};
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      auto found = rules.merges.find({ids[i], ids[i + 1]});
      if (found != rules.merges.end() && found->second.rank < lowest.rank) {
        lowest = found->second;
        best = i;
      }
    }
    if (best == ids.size()) return ids;
    ids[best] = lowest.merged;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

TEST(BytePair, EqualsTheDefinition) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    Rules rules;
    for (int i = 0; i < 40; ++i) {
      auto any = [&] {
        size_t known = static_cast<size_t>(rules.next) - 256;
        size_t pick = random() % (known + 3);
        return static_cast<TokenId>(pick < 3 ? 'a' + pick : 256 + pick - 3);
      };
      TokenId left = any();
      rules.add(left, any());
    }
    MergeTable table = rules.table();
    auto byte_ids = identity();
    BytePairEncoder encoder(byte_ids, table);
    for (int i = 0; i < 20; ++i) {
      std::string word;
      for (size_t length = 1 + random() % 60; word.size() < length;)
        word += static_cast<char>('a' + random() % 3);
      std::vector<TokenId> ids;
      encoder.encode(word, ids);
      ASSERT_EQ(ids, merge_by_definition(rules, word)) << word;
    }
  }
}

TEST(BytePair, MergesAMegabyteOfOneLetterInTime) {
  Rules rules;
  rules.add('a', 'a');
  for (TokenId id = 256; id < 266; ++id) rules.add(id, id);  // runs of 2, 4, ... 2048
  MergeTable table = rules.table();
  auto byte_ids = identity();
  BytePairEncoder encoder(byte_ids, table);
  std::vector<TokenId> ids;
  encoder.encode(std::string((1 << 20) + 1, 'a'), ids);
  std::vector<TokenId> expected((1 << 20) / 2048, 266);
  expected.push_back('a');
  EXPECT_TRUE(ids == expected);
}

TEST(MergeTable, RefusesAPairTwice) {
  MergeTable table(2);
  EXPECT_TRUE(table.insert(1, 2, {.rank = 0, .merged = 3}));
  EXPECT_FALSE(table.insert(1, 2, {.rank = 1, .merged = 4}));
  EXPECT_EQ(table.find(1, 2)->merged, 3);
  EXPECT_EQ(table.find(2, 1), nullptr);
}

}  // namespace
}  // namespace qvl
