// Keys as text and back.
#include "pipeline/cache/content_key.h"

#include <gtest/gtest.h>

namespace qvl {
namespace {

TEST(ContentKey, comes_back_from_its_text_and_from_nothing_else) {
  const ContentKey key{.high = 0x0123456789abcdef, .low = 7};
  EXPECT_EQ(key.text(), "0123456789abcdef0000000000000007");
  EXPECT_EQ(key_from(key.text()), key);
  for (std::string_view text : {"", "0123456789abcdef000000000000000", "0123456789abcdef00000000000000070",
                                "0123456789abcdeg0000000000000007", "0123456789abcdef-000000000000007",
                                "0123456789abcdef000000000000000 "}) {
    EXPECT_EQ(key_from(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace qvl
