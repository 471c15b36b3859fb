#include "tokenizer/pre_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace qvl {
namespace {

using testing::ElementsAre;

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> out;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = word_end(text, begin);
    EXPECT_GT(end, begin);
    out.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  return out;
}

TEST(PreTokenizer, SplitsWordsAndDigits) {
  EXPECT_THAT(words("Hello world"), ElementsAre("Hello", " world"));
  EXPECT_THAT(words("333"), ElementsAre("3", "3", "3"));
  EXPECT_THAT(words("<0.5 seconds>"), ElementsAre("<", "0", ".", "5", " seconds", ">"));
  EXPECT_THAT(words("ied 4 ½ months"), ElementsAre("ied", " ", "4", " ", "½", " months"));
  EXPECT_THAT(words("a_b-c"), ElementsAre("a", "_b", "-c"));
  EXPECT_THAT(words("((x"), ElementsAre("((", "x"));
  EXPECT_THAT(words("日本語 中文"), ElementsAre("日本語", " 中文"));
}

TEST(PreTokenizer, SplitsContractions) {
  EXPECT_THAT(words("don't"), ElementsAre("don", "'t"));
  EXPECT_THAT(words("WE'REx"), ElementsAre("WE", "'RE", "x"));
  EXPECT_THAT(words("it'll'd"), ElementsAre("it", "'ll", "'d"));
  EXPECT_THAT(words("x'vEm"), ElementsAre("x", "'vE", "m"));
  EXPECT_THAT(words("a'\u017Fb"),
              ElementsAre("a", "'\u017F", "b"));  // long s equals s without regard to case
  EXPECT_THAT(words("'ra"), ElementsAre("'ra"));
  EXPECT_THAT(words("'l"), ElementsAre("'l"));
  EXPECT_THAT(words("'"), ElementsAre("'"));
  EXPECT_THAT(words("''s"),
              ElementsAre("''", "s"));  // symbols are taken before a second apostrophe is looked at
  EXPECT_THAT(words("\u2019s"), ElementsAre("\u2019s"));
}

TEST(PreTokenizer, SplitsWhiteSpace) {
  EXPECT_THAT(words("a   b"), ElementsAre("a", "  ", " b"));
  EXPECT_THAT(words("a   1"), ElementsAre("a", "  ", " ", "1"));
  EXPECT_THAT(words("a   "), ElementsAre("a", "   "));
  EXPECT_THAT(words(" "), ElementsAre(" "));
  EXPECT_THAT(words("\n\n"), ElementsAre("\n\n"));
  EXPECT_THAT(words("a \n \n  b"), ElementsAre("a", " \n \n", " ", " b"));
  EXPECT_THAT(words("\r\nx"), ElementsAre("\r\n", "x"));
  EXPECT_THAT(words("\t\tx"), ElementsAre("\t", "\tx"));
  EXPECT_THAT(words("\u3000x"), ElementsAre("\u3000x"));
  EXPECT_THAT(words("a\u00A0\u2003!"), ElementsAre("a", "\u00A0", "\u2003", "!"));
  EXPECT_THAT(words("\u200B"), ElementsAre("\u200B"));  // no white space
}

TEST(PreTokenizer, SplitsSymbols) {
  EXPECT_THAT(words("x = {}\n\n y"), ElementsAre("x", " =", " {}\n\n", " y"));
  EXPECT_THAT(words("!!\r\n!"), ElementsAre("!!\r\n", "!"));
  EXPECT_THAT(words("  !"), ElementsAre(" ", " !"));
  EXPECT_THAT(words("\t!"), ElementsAre("\t", "!"));
  EXPECT_THAT(words(":<0.2"), ElementsAre(":<", "0", ".", "2"));
  // A mark is neither a letter nor a number: it may begin a word or stand among symbols.
  EXPECT_THAT(words("q\u0307\u0323a"), ElementsAre("q", "\u0307\u0323", "a"));
  EXPECT_THAT(words("q\u0307a"), ElementsAre("q", "\u0307a"));
}

TEST(PreTokenizer, KnowsTheClassesOfUnicode16) {
  EXPECT_THAT(words("a\U00013460"), ElementsAre("a\U00013460"));      // a letter since Unicode 16
  EXPECT_THAT(words("a\U0002EBF0"), ElementsAre("a\U0002EBF0"));      // since 15.1
  EXPECT_THAT(words("!\U00010D40"), ElementsAre("!", "\U00010D40"));  // a digit since 16
  EXPECT_THAT(words("!\U0001FAE9"), ElementsAre("!\U0001FAE9"));      // a symbol
  EXPECT_THAT(words("!\U000E0FFF"), ElementsAre("!\U000E0FFF"));      // not assigned
}

}  // namespace
}  // namespace qvl
