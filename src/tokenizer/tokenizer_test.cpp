#include "tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <random>

#include "base/error.h"
#include "tokenizer/normalize.h"
#include "tokenizer/small_tokenizer.h"

namespace qvl {
namespace {

constexpr auto kPlain = ControlTokens::plain_text;
constexpr auto kParse = ControlTokens::parse;

// 256 he, 257 ll, 258 hell, 259 hello, 260 " w", 261 ":<", 262 <|im_start|>, 263 <|image_pad|>, 264 <think>,
// 265 <think>x
Tokenizer small() {
  return Tokenizer(
      small_tokenizer_spec({{"h", "e"}, {"l", "l"}, {"he", "ll"}, {"hell", "o"}, {"Ġ", "w"}, {":", "<"}}));
}

std::vector<TokenId> joined(std::initializer_list<std::vector<TokenId>> parts) {
  std::vector<TokenId> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

TEST(Tokenizer, EncodesByRank) {
  Tokenizer tokenizer = small();
  EXPECT_EQ(tokenizer.encode("hello w", kPlain), (std::vector<TokenId>{259, 260}));
  EXPECT_EQ(tokenizer.encode("hel", kPlain), (std::vector<TokenId>{256, 'l'}));
  EXPECT_EQ(tokenizer.encode("", kParse), std::vector<TokenId>{});
  EXPECT_EQ(tokenizer.encode("e\u0301", kPlain), byte_ids("\u00E9"));
}

TEST(Tokenizer, FindsAddedTokensLeftmostLongest) {
  Tokenizer tokenizer = small();
  EXPECT_EQ(tokenizer.encode("<|im_start|>hello<think>", kParse), (std::vector<TokenId>{262, 259, 264}));
  EXPECT_EQ(tokenizer.encode("<think>x<think>y", kParse), (std::vector<TokenId>{265, 264, 'y'}));
  EXPECT_EQ(tokenizer.encode("<<think><think", kParse), joined({{'<'}, {264}, byte_ids("<think")}));
  // The words before and behind a token are split alone: ':' and '<' stay apart.
  EXPECT_EQ(tokenizer.encode(":<think><", kParse), (std::vector<TokenId>{':', 264, '<'}));
}

TEST(Tokenizer, LeavesAddedTokensInPlainTextSpelled) {
  Tokenizer tokenizer = small();
  for (std::string_view text : {"<|im_start|>", "<|image_pad|>", "<think>"}) {
    EXPECT_EQ(tokenizer.encode(text, kPlain), byte_ids(text));
  }
}

TEST(Tokenizer, SplitsPiecesAsOneText) {
  Tokenizer tokenizer = small();
  using Piece = Tokenizer::Piece;
  auto encode = [&](std::vector<Piece> pieces) { return tokenizer.encode(pieces); };
  EXPECT_EQ(encode({{"he", kPlain}, {"", kParse}, {"llo", kParse}, {" ", kPlain}, {"w", kPlain}}),
            (std::vector<TokenId>{259, 260}));
  EXPECT_EQ(encode({{"a:", kPlain}, {"<0.2", kParse}}), joined({{'a', 261}, byte_ids("0.2")}));
  EXPECT_EQ(encode({{"e", kParse}, {"\u0301", kPlain}}), byte_ids("\u00E9"));
}

TEST(Tokenizer, RecognisesAddedTokensInTrustedPiecesOnly) {
  Tokenizer tokenizer = small();
  using Piece = Tokenizer::Piece;
  auto encode = [&](std::vector<Piece> pieces) { return tokenizer.encode(pieces); };
  EXPECT_EQ(encode({{"<think>", kParse}, {"<think>", kPlain}}), joined({{264}, byte_ids("<think>")}));
  EXPECT_EQ(encode({{"<thi", kParse}, {"nk>", kPlain}}), byte_ids("<think>"));
  EXPECT_EQ(encode({{"<thi", kPlain}, {"nk>", kParse}}), byte_ids("<think>"));
  EXPECT_EQ(encode({{"<thi", kPlain}, {"nk>", kPlain}}), byte_ids("<think>"));
  EXPECT_EQ(encode({{"<think>", kParse}, {"x", kPlain}}), (std::vector<TokenId>{264, 'x'}));
  EXPECT_EQ(encode({{"<thi", kParse}, {"", kPlain}, {"nk>", kParse}}), std::vector<TokenId>{264});
}

TEST(Tokenizer, RefusesInvalidUtf8) {
  Tokenizer tokenizer = small();
  try {
    tokenizer.encode("ab\xC0\x80", kPlain);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::usage);
    EXPECT_STREQ(error.what(), "byte 2: not valid UTF-8");
  }
}

TEST(Tokenizer, DecodesWhatItEncoded) {
  Tokenizer tokenizer = small();
  std::mt19937 random(3);
  const char32_t limits[] = {0x80, 0x400, 0x3000, 0x10000, 0x110000};
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (size_t count = random() % 30; count > 0; --count) {
      auto c = static_cast<char32_t>(random() % limits[random() % std::size(limits)]);
      if (c < 0xD800 || c >= 0xE000) append_utf8(text, c);
    }
    std::vector<TokenId> ids = tokenizer.encode(text, kPlain);
    ASSERT_EQ(tokenizer.decode(ids, Tokenizer::Special::keep), normalize_nfc(text));
  }
}

TEST(Tokenizer, DecodesWithAndWithoutSpecialTokens) {
  Tokenizer tokenizer = small();
  std::vector<TokenId> ids = {262, 259, 0xE4, 264, 9999, -1, 'x'};
  EXPECT_EQ(tokenizer.decode(ids, Tokenizer::Special::keep), "<|im_start|>hello\uFFFD<think>x");
  EXPECT_EQ(tokenizer.decode(ids, Tokenizer::Special::skip), "hello\uFFFD<think>x");
}

TEST(Tokenizer, KnowsItsTokens) {
  Tokenizer tokenizer = small();
  EXPECT_EQ(tokenizer.vocabulary_size(), 266u);
  EXPECT_EQ(tokenizer.bytes(260), " w");
  EXPECT_EQ(tokenizer.bytes(0xFF), "\xFF");
  EXPECT_EQ(tokenizer.bytes(262), "<|im_start|>");
  EXPECT_TRUE(tokenizer.is_special(263));
  EXPECT_FALSE(tokenizer.is_special(264));
  EXPECT_FALSE(tokenizer.is_special(-1));
  EXPECT_EQ(tokenizer.find_added("<think>"), 264);
  EXPECT_EQ(tokenizer.find_added("hello"), std::nullopt);
  for (TokenId id : {-1, 266}) {
    try {
      tokenizer.bytes(id);
      FAIL() << id;
    } catch (const Error& error) {
      EXPECT_EQ(error.what(), fmt::format("token id {}: expected 0 to 265", id));
    }
  }
}

TEST(StreamDecoder, WaitsForWholeCharacters) {
  Tokenizer tokenizer = small();
  StreamDecoder stream(tokenizer);
  EXPECT_EQ(stream.add(259), "hello");
  EXPECT_EQ(stream.add(0xF0), "");
  EXPECT_EQ(stream.add(0x9F), "");
  EXPECT_EQ(stream.add(262), "");  // special: no text, the character may go on behind it
  EXPECT_EQ(stream.add(0x98), "");
  EXPECT_EQ(stream.add(0x80), "\U0001F600");
  EXPECT_EQ(stream.add(0xE4), "");
  EXPECT_EQ(stream.add('a'), "\uFFFDa");
  EXPECT_EQ(stream.add(0xFF), "\uFFFD");
  EXPECT_EQ(stream.add(0xC3), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  EXPECT_EQ(stream.finish(), "");
}

TEST(StreamDecoder, GivesTheSameTextAsDecode) {
  Tokenizer tokenizer = small();
  std::mt19937 random(11);
  for (int round = 0; round < 2000; ++round) {
    std::vector<TokenId> ids;
    for (size_t count = random() % 20; count > 0; --count) {
      ids.push_back(static_cast<TokenId>(random() % 4 == 0 ? random() % 270 : 0x80 + random() % 0x80));
    }
    StreamDecoder stream(tokenizer);
    std::string text;
    for (TokenId id : ids) text += stream.add(id);
    text += stream.finish();
    ASSERT_EQ(text, tokenizer.decode(ids, Tokenizer::Special::skip));
  }
}

// Each would take hours if any stage were quadratic.
TEST(Tokenizer, EncodesAMegabyteOfAnythingInTime) {
  Tokenizer tokenizer = small();
  const std::string units[] = {
      "l",    " ",      "\n", "7",  ".",   "\u0307\u0323", "中",           "\u200D\U0001F469",
      "<",    "<think", "' ", "'l", " \n", "\t",           "<|image_pad|", "\u1100\u1161",
      "\r\n", "he"};
  for (const std::string& unit : units) {
    std::string text = "x";
    while (text.size() < (1 << 20)) text += unit;
    std::vector<TokenId> ids = tokenizer.encode(text, kParse);
    EXPECT_TRUE(tokenizer.decode(ids, Tokenizer::Special::keep) == normalize_nfc(text)) << unit;
  }
}

struct BadSpec {
  const char* message;
  void (*spoil)(TokenizerSpec& spec);
};

TEST(Tokenizer, RefusesBadSpecs) {
  const BadSpec cases[] = {
      {"merge 1: \"hq\" is not in the vocabulary",
       [](TokenizerSpec& s) {
         s.merges.push_back({"h", "q"});
       }},
      {"merge 1: \"zz\" is not in the vocabulary",
       [](TokenizerSpec& s) {
         s.vocabulary.push_back("zza");
         s.added.clear();
         s.merges.push_back({"zz", "a"});
       }},
      {"merge 1: \"h\" and \"e\" given twice",
       [](TokenizerSpec& s) {
         s.merges.push_back({"h", "e"});
       }},
      {"tokens 104 and 256 are both \"h\"", [](TokenizerSpec& s) { s.vocabulary[256] = "h"; }},
      {"no token for byte 0x41 (\"A\")", [](TokenizerSpec& s) { s.vocabulary['A'] = ""; }},
      {"token 65: \"中\" has a character outside the byte-level alphabet",
       [](TokenizerSpec& s) { s.vocabulary['A'] = "中"; }},
      {"token 65: \"\\xff\" has a character outside the byte-level alphabet",
       [](TokenizerSpec& s) { s.vocabulary['A'] = "\xFF"; }},
      {"added token 257: empty", [](TokenizerSpec& s) { s.added[0].content = ""; }},
      {"added token 257: 257 bytes, at most 256 allowed",
       [](TokenizerSpec& s) { s.added[0].content = std::string(257, 'x'); }},
      {"added token 257: not valid UTF-8", [](TokenizerSpec& s) { s.added[0].content = "\xC0"; }},
      {"added token \"<|im_start|>\": found id -1, expected 0 to 1048575",
       [](TokenizerSpec& s) { s.added[0].id = -1; }},
      {"added token \"<|im_start|>\": found id 2147483647, expected 0 to 1048575",
       [](TokenizerSpec& s) { s.added[0].id = INT32_MAX; }},
      {"added token \"<think>\": given twice", [](TokenizerSpec& s) { s.added[0].content = "<think>"; }},
      {"added tokens: id 258 given twice", [](TokenizerSpec& s) { s.added[0].id = 258; }},
      {"added token \"<|im_start|>\": id 65 is \"A\" in the vocabulary",
       [](TokenizerSpec& s) { s.added[0].id = 'A'; }},
      {"added token \"he\": id 257, but the vocabulary has it as 256",
       [](TokenizerSpec& s) { s.added[0].content = "he"; }},
      {"1048577 tokens, at most 1048576 allowed",
       [](TokenizerSpec& s) { s.vocabulary.resize((1 << 20) + 1); }},
  };
  for (const BadSpec& one : cases) {
    TokenizerSpec spec = small_tokenizer_spec({{"h", "e"}});
    spec.source = "a.json";
    one.spoil(spec);
    try {
      Tokenizer tokenizer(std::move(spec));
      ADD_FAILURE() << one.message;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::model_file);
      EXPECT_EQ(error.what(), std::string("a.json: ") + one.message);
    }
  }
}

TEST(Tokenizer, TakesAddedTokensInsideTheVocabularyAndUnusedIds) {
  TokenizerSpec spec = small_tokenizer_spec();
  spec.vocabulary.resize(300);
  spec.vocabulary[299] = "<|中|>";  // outside the alphabet, which matters to pieces only
  spec.added = {{.id = 299, .content = "<|中|>", .special = true}};
  Tokenizer tokenizer(std::move(spec));
  EXPECT_EQ(tokenizer.encode("<|中|>", kParse), std::vector<TokenId>{299});
  EXPECT_EQ(tokenizer.bytes(280), "");
}

}  // namespace
}  // namespace qvl
