#include "tokenizer/normalize.h"

#include <gtest/gtest.h>

namespace qvl {
namespace {

TEST(Normalize, ComposesAndOrders) {
  struct Case {
    std::string text;
    std::string expected;
  };
  const Case cases[] = {
      {"", ""},
      {"plain", "plain"},
      {"e\u0301", "\u00E9"},
      {"a\u0302\u0323", "\u1EAD"},  // the marks change places, then both compose
      {"q\u0307\u0323", "q\u0323\u0307"},
      {"\u212B", "\u00C5"},              // a singleton
      {"\u0958", "\u0915\u093C"},        // excluded from composition
      {"\u1112\u1161\u11AB", "\uD55C"},  // Hangul
      {"\uAC00\u11A8", "\uAC01"},
      {"\U0001D15E", "\U0001D157\U0001D165"},
      {"\u0301e", "\u0301e"},
      {"e\u200D\u0301", "e\u200D\u0301"},
      {"a\u0301\u0301", "\u00E1\u0301"},
      {std::string("e\0\u0301", 4), std::string("e\0\u0301", 4)},
  };
  for (const Case& one : cases) EXPECT_EQ(normalize_nfc(one.text), one.expected) << one.text;
}

// U+0899 has a combining class since Unicode 14 only, U+11938 a decomposition since 13: both separate.
TEST(Normalize, LeavesWhatUnicode9DidNotKnow) {
  for (std::string text :
       {"a\u0345\u0899", "a\u0899\u0301", "\U00011935\U00011930", "\U00011938", "\U000105D2\u0307"}) {
    EXPECT_EQ(normalize_nfc(text), text);
  }
}

// Two classes in turn: an ordering by neighbours would need 10^11 exchanges here.
TEST(Normalize, OrdersALongRunOfMarksInTime) {
  constexpr size_t kPairs = 250'000;
  std::string text = "中";
  for (size_t i = 0; i < kPairs; ++i) text += "\u0307\u0323";
  std::string expected = "中";
  for (size_t i = 0; i < kPairs; ++i) expected += "\u0323";
  for (size_t i = 0; i < kPairs; ++i) expected += "\u0307";
  // Not EXPECT_EQ: it compares two lines that differ in quadratic time.
  EXPECT_TRUE(normalize_nfc(text) == expected);
}

}  // namespace
}  // namespace qvl
