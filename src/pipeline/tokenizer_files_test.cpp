#include "pipeline/tokenizer_files.h"

#include <gtest/gtest.h>

#include "qvl/error.h"

namespace qvl {
namespace {

GgufTokenizer small() {
  return {.model = "gpt2",
          .pre = "qwen2",
          .tokens = {"a", "b", "ab", "<|im_end|>", "<tool_call>", "[PAD5]"},
          .types = {1, 1, 1, 3, 4, 5},
          .merges = {"a b"}};
}

std::string refusal(const GgufTokenizer& tokenizer) {
  try {
    tokenizer_spec(tokenizer, "m.gguf");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::model_file);
    return error.what();
  }
  return "";
}

TEST(TokenizerSpecOfGguf, SortsTokensByTheirType) {
  const TokenizerSpec spec = tokenizer_spec(small(), "m.gguf");
  EXPECT_EQ(spec.source, "m.gguf");
  EXPECT_EQ(spec.vocabulary, (std::vector<std::string>{"a", "b", "ab", "", "", ""}));
  ASSERT_EQ(spec.added.size(), 2u);
  EXPECT_EQ(spec.added[0].id, 3);
  EXPECT_EQ(spec.added[0].content, "<|im_end|>");
  EXPECT_TRUE(spec.added[0].special);
  EXPECT_EQ(spec.added[1].content, "<tool_call>");
  EXPECT_FALSE(spec.added[1].special);
  ASSERT_EQ(spec.merges.size(), 1u);
  EXPECT_EQ(spec.merges[0], std::make_pair(std::string("a"), std::string("b")));
}

TEST(TokenizerSpecOfGguf, RefusesWhatItDoesNotKnow) {
  GgufTokenizer other = small();
  other.pre = "llama3";
  EXPECT_EQ(refusal(other),
            "m.gguf: tokenizer.ggml.model, .pre: found \"gpt2\", \"llama3\", expected \"gpt2\", \"qwen2\"");
  GgufTokenizer merge = small();
  merge.merges = {"ab"};
  EXPECT_EQ(refusal(merge), "m.gguf: tokenizer.ggml.merges: entry 0: found \"ab\", expected two pieces");
  GgufTokenizer types = small();
  types.types.pop_back();
  EXPECT_EQ(refusal(types), "m.gguf: tokenizer.ggml.token_type: 5 entries for 6 tokens");
}

}  // namespace
}  // namespace qvl
