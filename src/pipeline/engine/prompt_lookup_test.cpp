// Guessing tokens, and knowing when that pays.
#include "pipeline/engine/prompt_lookup.h"

#include <gtest/gtest.h>

#include <vector>

namespace qvl {
namespace {

std::vector<int32_t> found(const std::vector<int32_t>& tokens, size_t most = 4) {
  const auto guesses = look_up(tokens, most);
  return {guesses.begin(), guesses.end()};
}
using Tokens = std::vector<int32_t>;

TEST(PromptLookup, gives_what_followed_the_same_ending_before) {
  EXPECT_EQ(found({1, 2, 3, 4, 5, 6, 9, 2, 3}), (Tokens{4, 5, 6, 9}));
  EXPECT_EQ(found({1, 2, 3, 4, 5, 6, 9, 2, 3}, 2), (Tokens{4, 5}));
}

TEST(PromptLookup, prefers_the_longest_ending_and_then_the_last) {
  // 7 8 stands before 1 and before 2; only the first has 6 in front of it as well.
  EXPECT_EQ(found({6, 7, 8, 1, 5, 7, 8, 2, 6, 7, 8}, 1), (Tokens{1}));
  EXPECT_EQ(found({7, 8, 1, 7, 8, 2, 7, 8}, 1), (Tokens{2}));
}

TEST(PromptLookup, may_repeat_the_ending_itself) { EXPECT_EQ(found({5, 5, 5}), (Tokens{5})); }

TEST(PromptLookup, gives_nothing_where_the_ending_is_new) {
  EXPECT_EQ(found({}), Tokens{});
  EXPECT_EQ(found({1}), Tokens{});
  EXPECT_EQ(found({1, 2}), Tokens{});
  EXPECT_EQ(found({1, 2, 3, 1, 4}), Tokens{});
}

TEST(LookupGauge, guesses_once_it_knows_the_plain_step) {
  LookupGauge gauge;
  EXPECT_EQ(gauge.guesses(), 0u);
  gauge.learn(0, 100, 1);
  EXPECT_EQ(gauge.guesses(), LookupGauge::kGuesses);
}

TEST(LookupGauge, keeps_guessing_where_tokens_come_faster_and_stops_where_not) {
  LookupGauge gauge;
  gauge.learn(0, 100, 1);
  gauge.learn(4, 150, 3);
  EXPECT_EQ(gauge.guesses(), LookupGauge::kGuesses);
  for (int i = 0; i < 30; ++i) gauge.learn(4, 150, 1);
  EXPECT_EQ(gauge.guesses(), 0u);
}

TEST(LookupGauge, looks_again_now_and_then) {
  LookupGauge gauge;
  gauge.learn(0, 100, 1);
  gauge.learn(4, 150, 1);
  int guessed = 0;
  for (int i = 0; i < 640; ++i) guessed += gauge.guesses() > 0;
  EXPECT_EQ(guessed, 10);
}

}  // namespace
}  // namespace qvl
