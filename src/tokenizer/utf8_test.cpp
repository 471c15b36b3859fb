#include "tokenizer/utf8.h"

#include <gtest/gtest.h>

namespace qvl {
namespace {

const std::string kMark = "\xEF\xBF\xBD";

TEST(Utf8, WritesAndReadsEveryCodePoint) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(text, c);
    Utf8Unit unit = read_utf8(text, 0);
    ASSERT_EQ(unit.kind, Utf8Unit::Kind::character) << static_cast<uint32_t>(c);
    ASSERT_EQ(unit.code_point, c);
    ASSERT_EQ(unit.length, text.size());
  }
}

TEST(Utf8, FindsTheFirstInvalidByte) {
  struct Case {
    std::string text;
    std::optional<size_t> expected;
  };
  const Case cases[] = {
      {"", std::nullopt},
      {std::string("a\0b", 3), std::nullopt},
      {"\xEF\xBB\xBFx", std::nullopt},     // byte order mark
      {"\xF4\x8F\xBF\xBF", std::nullopt},  // U+10FFFF
      {"a\xC0\x80", 1},                    // overlong NUL
      {"ab\xE0\x80\xAF", 2},               // overlong slash
      {"\xED\xA0\x80", 0},                 // surrogate
      {"\xF4\x90\x80\x80", 0},             // beyond U+10FFFF
      {"\xFF", 0},
      {"abc\x80", 3},
      {"x\xE4\xBD", 1},  // cut
      {"\xC3\xA9\xC3", 2},
  };
  for (const Case& one : cases) EXPECT_EQ(find_invalid_utf8(one.text), one.expected) << one.text;
}

// The table of "U+FFFD for maximal subparts" in chapter 3 of the Unicode Standard.
TEST(Utf8, ReplacesMaximalSubparts) {
  EXPECT_EQ(replace_invalid_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"),
            kMark + kMark + kMark + kMark + kMark + kMark + kMark + kMark + "A");
  EXPECT_EQ(replace_invalid_utf8("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"),
            kMark + kMark + kMark + kMark + kMark + kMark + kMark + kMark + "A");
  EXPECT_EQ(replace_invalid_utf8("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"),
            kMark + kMark + kMark + kMark + kMark + "A" + kMark + kMark + "B");
  EXPECT_EQ(replace_invalid_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"),
            kMark + kMark + kMark + kMark + "A");
  EXPECT_EQ(replace_invalid_utf8("caf\xC3\xA9"), "caf\xC3\xA9");
  EXPECT_EQ(replace_invalid_utf8("\xF0\x9F\x98"), kMark);
}

}  // namespace
}  // namespace qvl
