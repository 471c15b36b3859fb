#include "pipeline/stop_filter.h"

#include <gtest/gtest.h>

#include <random>

namespace qvl {
namespace {

std::string run(const std::vector<std::string>& stops, const std::vector<std::string>& pieces) {
  StopFilter filter(stops);
  std::string out;
  for (const std::string& piece : pieces) out += filter.add(piece);
  out += filter.finish();
  return out;
}

TEST(StopFilter, LetsTextThroughAtOnceWithoutStops) {
  StopFilter filter({});
  EXPECT_EQ(filter.add("Hello"), "Hello");
  EXPECT_EQ(filter.finish(), "");
}

TEST(StopFilter, EndsBeforeTheStopString) {
  StopFilter filter({"END"});
  EXPECT_EQ(filter.add("one END two"), "one ");
  EXPECT_TRUE(filter.stopped());
  EXPECT_EQ(filter.add("three"), "");
  EXPECT_EQ(filter.finish(), "");
}

TEST(StopFilter, NeverLetsOutPartOfAStopStringSpreadOverPieces) {
  StopFilter filter({"END"});
  EXPECT_EQ(filter.add("a E"), "a ");
  EXPECT_EQ(filter.add("N"), "");
  EXPECT_FALSE(filter.stopped());
  EXPECT_EQ(filter.add("D"), "");
  EXPECT_TRUE(filter.stopped());
}

TEST(StopFilter, LetsOutWhatTurnsOutNotToBeAStopString) {
  StopFilter filter({"END"});
  EXPECT_EQ(filter.add("EN"), "");
  EXPECT_EQ(filter.add("EN"), "EN");
  EXPECT_EQ(filter.finish(), "EN");
}

TEST(StopFilter, FindsAStopStringThatBeginsInsideItsOwnBeginning) {
  EXPECT_EQ(run({"aab"}, {"a", "a", "a", "b", "c"}), "a");
  EXPECT_EQ(run({"abab"}, {"ab", "aab", "ab"}), "aba");
}

TEST(StopFilter, TakesTheOneOfSeveralThatIsCompleteFirst) {
  EXPECT_EQ(run({"later", "soon"}, {"x soon y later"}), "x ");
  EXPECT_EQ(run({"bc", "abcd"}, {"abcd"}), "a");
  EXPECT_EQ(run({"abcd", "bc"}, {"a", "b", "c", "d"}), "a");
  EXPECT_EQ(run({"bc", "abc"}, {"xabc"}), "x");
}

TEST(StopFilter, AgreesWithSearchingTheWholeTextHoweverItIsCut) {
  std::mt19937 random(7);
  const auto letters = [&](size_t longest) {
    std::string text;
    for (size_t i = 0, n = 1 + random() % longest; i < n; ++i) text += static_cast<char>('a' + random() % 2);
    return text;
  };
  for (int round = 0; round < 2000; ++round) {
    const std::vector<std::string> stops = {letters(6), letters(6)};
    std::string whole;
    std::vector<std::string> pieces;
    for (int i = 0; i < 12; ++i) whole += pieces.emplace_back(letters(3));
    std::string expected = whole;  // the same, read letter by letter
    for (size_t end = 1; end <= whole.size() && expected == whole; ++end) {
      for (size_t begin = 0; begin < end; ++begin) {
        const std::string part = whole.substr(begin, end - begin);
        if (part == stops[0] || part == stops[1]) {
          expected = whole.substr(0, begin);
          break;
        }
      }
    }
    EXPECT_EQ(run(stops, pieces), expected) << whole;
  }
}

}  // namespace
}  // namespace qvl
