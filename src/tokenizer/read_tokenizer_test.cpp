#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/json.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/small_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace qvl {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

class ReadTokenizer : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::path(testing::TempDir()) / (std::string("qvl_tokenizer_") + info->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  std::string refusal() const {
    try {
      Tokenizer tokenizer(read_tokenizer_folder(folder_));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::model_file);
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      return error.what();
    }
    return "accepted";
  }

  std::filesystem::path folder_;
};

Json vocabulary_json(const TokenizerSpec& spec) {
  Json vocabulary = Json::object();
  for (size_t id = 0; id < spec.vocabulary.size(); ++id) vocabulary[spec.vocabulary[id]] = id;
  return vocabulary;
}

Json added_json(const AddedToken& token) {
  return {{"id", token.id},  {"content", token.content}, {"single_word", false},    {"lstrip", false},
          {"rstrip", false}, {"normalized", false},      {"special", token.special}};
}

// The document the reference library writes for the small tokenizer.
Json good_document() {
  TokenizerSpec spec = small_tokenizer_spec({{"h", "e"}, {"he", "y"}});
  Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}, {"use_regex", false}};
  Json split = {
      {"type", "Split"}, {"pattern", {{"Regex", kWordPattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  Json added = Json::array();
  for (const AddedToken& token : spec.added) added.push_back(added_json(token));
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", Json::array({split, byte_level})}}},
          {"post_processor", byte_level},
          {"decoder", byte_level},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", ""},
            {"end_of_word_suffix", ""},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", false},
            {"vocab", vocabulary_json(spec)},
            {"merges", {"h e", "he y"}}}}};
}

void expect_small(const Tokenizer& tokenizer) {
  EXPECT_EQ(tokenizer.encode("hey<think>", ControlTokens::parse), (std::vector<TokenId>{257, 260}));
  EXPECT_EQ(tokenizer.vocabulary_size(), 262u);
  EXPECT_TRUE(tokenizer.is_special(258));
  EXPECT_FALSE(tokenizer.is_special(260));
}

TEST_F(ReadTokenizer, TakesBothFormsOfMerges) {
  Json document = good_document();
  write("tokenizer.json", document.dump());
  expect_small(Tokenizer(read_tokenizer_folder(folder_)));
  document["model"]["merges"] = Json::array({Json::array({"h", "e"}), Json::array({"he", "y"})});
  write("tokenizer.json", document.dump());
  expect_small(Tokenizer(read_tokenizer_folder(folder_)));
}

TEST_F(ReadTokenizer, TakesADecoderAsTransformersWritesIt) {
  Json document = good_document();
  document["decoder"] = {
      {"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  write("tokenizer.json", document.dump());
  EXPECT_EQ(refusal(), "accepted");
}

TEST_F(ReadTokenizer, TakesVocabularyAndMergesFiles) {
  TokenizerSpec spec = small_tokenizer_spec({{"h", "e"}, {"he", "y"}});
  write("vocab.json", vocabulary_json(spec).dump());
  write("merges.txt", "#version: 0.2\r\nh e\r\nhe y\n\n");
  Json decoder = Json::object();
  for (const AddedToken& token : spec.added) decoder[std::to_string(token.id)] = added_json(token);
  write("tokenizer_config.json", Json{{"added_tokens_decoder", decoder}}.dump());
  expect_small(Tokenizer(read_tokenizer_folder(folder_)));

  write("merges.txt", "h e\nhe  y\n");
  EXPECT_THAT(refusal(),
              HasSubstr("merges.txt: line 2: found \"he  y\", expected two pieces with a space between"));
  write("merges.txt", "h e\nhe y");
  write("tokenizer_config.json", "{\"added_tokens_decoder\":{\"12x\":{}}}");
  EXPECT_THAT(refusal(), HasSubstr("added_tokens_decoder.12x: expected an id from 0 to 1048575"));
  std::filesystem::remove(folder_ / "tokenizer_config.json");
  EXPECT_THAT(refusal(), HasSubstr("tokenizer_config.json: cannot open: No such file or directory"));
}

struct BadDocument {
  const char* pointer;  // the place that is replaced
  Json value;
  const char* message;
};

std::vector<BadDocument> bad_components() {
  return {
      {"/version", "2.0", "version: found \"2.0\", supported is \"1.0\""},
      {"/version", nullptr, "version: missing"},
      {"/normalizer/type", "NFKC", "normalizer.type: found \"NFKC\", supported is \"NFC\""},
      {"/normalizer", nullptr, "normalizer: missing"},
      {"/pre_tokenizer/type", "Metaspace",
       "pre_tokenizer.type: found \"Metaspace\", supported is \"Sequence\""},
      {"/pre_tokenizer/pretokenizers/0/type", "Digits",
       "pre_tokenizer.pretokenizers[0].type: found \"Digits\", supported is \"Split\""},
      {"/pre_tokenizer/pretokenizers/0/pattern/Regex", "(a+)+b",
       "unsupported pre-tokenizer pattern \"(a+)+b\""},
      {"/pre_tokenizer/pretokenizers/0/behavior", "Removed",
       "behavior: found \"Removed\", supported is \"Isolated\""},
      {"/pre_tokenizer/pretokenizers/1/use_regex", true, "use_regex: found true, supported is false"},
      {"/pre_tokenizer/pretokenizers/1/use_regex", nullptr, "use_regex: found true, supported is false"},
      {"/pre_tokenizer/pretokenizers/1/add_prefix_space", true,
       "add_prefix_space: found true, supported is false"},
      {"/pre_tokenizer/pretokenizers", 3, "pretokenizers: expected Split and ByteLevel"},
      {"/post_processor/type", "TemplateProcessing",
       "found \"TemplateProcessing\", supported is \"ByteLevel\""},
      {"/decoder/type", "WordPiece", "decoder.type: found \"WordPiece\", supported is \"ByteLevel\""},
      {"/model/type", "Unigram", "model.type: found \"Unigram\", supported is \"BPE\""},
      {"/model/type", nullptr, "model.type: missing"},
      {"/model/dropout", 0.5, "model.dropout: found 0.5, supported is null"},
      {"/model/unk_token", "<unk>", "model.unk_token: found \"<unk>\", supported is null"},
      {"/model/byte_fallback", true, "model.byte_fallback: found true, supported is false"},
      {"/model/ignore_merges", true, "model.ignore_merges: found true, supported is false"},
      {"/model/end_of_word_suffix", "</w>", "model.end_of_word_suffix: found \"</w>\", supported is \"\""},
      {"/model", 5, "model: found 5, expected an object"},
  };
}

std::vector<BadDocument> bad_contents() {
  return {
      {"/model/vocab", nullptr, "model.vocab: missing"},
      {"/model/vocab/a", -1, "model.vocab.a: found -1, expected an id from 0 to 1048575"},
      {"/model/vocab/a", 1048576, "model.vocab.a: found 1048576, expected an id from 0 to 1048575"},
      {"/model/vocab/a", 1e30, "expected an id from 0 to 1048575"},
      {"/model/vocab/a", "x", "model.vocab.a: found \"x\", expected an id from 0 to 1048575"},
      {"/model/vocab/b", 'a', "id 97 is \"a\" already"},
      {"/model/vocab/", 5, "an empty token"},
      {"/model/merges", nullptr, "model.merges: missing"},
      {"/model/merges", 5, "model.merges: expected an array"},
      {"/model/merges/1", "hey", "model.merges: [1]: found \"hey\", expected \"a b\" or [\"a\", \"b\"]"},
      {"/model/merges/1", "h e y", "model.merges: [1]: found \"h e y\""},
      {"/model/merges/1", {"h", "e", "y"}, "model.merges: [1]: found array"},
      {"/model/merges/1", {"h", 5}, "model.merges: [1]: found array"},
      {"/model/merges/1", "h z", "merge 1: \"hz\" is not in the vocabulary"},
      {"/added_tokens", 5, "added_tokens: expected an array"},
      {"/added_tokens/0", 5, "added_tokens[0]: found 5, expected an object"},
      {"/added_tokens/0/id", -5, "added_tokens[0].id: found -5, expected an integer from 0 to 1048575"},
      {"/added_tokens/0/id", 1ULL << 63, "expected an integer from 0 to 1048575"},
      {"/added_tokens/0/lstrip", true, "added_tokens[0].lstrip: found true, supported is false"},
      {"/added_tokens/0/normalized", true, "added_tokens[0].normalized: found true, supported is false"},
      {"/added_tokens/2/normalized", nullptr, "added_tokens[2].normalized: found true, supported is false"},
      {"/added_tokens/0/content", "", "added token 258: empty"},
      {"/added_tokens/0/content", 7, "added_tokens[0].content: found 7, expected a string"},
  };
}

TEST_F(ReadTokenizer, RefusesUnknownComponentsByName) {
  for (const BadDocument& one : bad_components()) {
    Json document = good_document();
    document[Json::json_pointer(one.pointer)] = one.value;
    write("tokenizer.json", document.dump());
    EXPECT_THAT(refusal(), HasSubstr(one.message)) << one.pointer;
    EXPECT_THAT(refusal(), HasSubstr("tokenizer.json: ")) << one.pointer;
  }
}

TEST_F(ReadTokenizer, RefusesBadContents) {
  for (const BadDocument& one : bad_contents()) {
    Json document = good_document();
    document[Json::json_pointer(one.pointer)] = one.value;
    write("tokenizer.json", document.dump());
    EXPECT_THAT(refusal(), HasSubstr(one.message)) << one.pointer;
    EXPECT_THAT(refusal(), HasSubstr("tokenizer.json: ")) << one.pointer;
  }
}

TEST_F(ReadTokenizer, RefusesBadFiles) {
  EXPECT_THAT(refusal(), HasSubstr("found neither tokenizer.json nor vocab.json"));
  write("tokenizer.json", "");
  EXPECT_THAT(refusal(), HasSubstr("tokenizer.json: byte "));
  std::string good = good_document().dump();
  for (size_t length = 0; length < good.size(); length += 97) {
    write("tokenizer.json", good.substr(0, length));
    // An id that lost its last digits may be another's, which is seen before the end of the text.
    EXPECT_THAT(refusal(), AnyOf(HasSubstr("tokenizer.json: byte "), HasSubstr("\" already"))) << length;
  }
  write("tokenizer.json", std::string(100'000, '['));
  EXPECT_THAT(refusal(), HasSubstr("nested deeper than 64 levels"));
  write("tokenizer.json", "[]");
  EXPECT_THAT(refusal(), HasSubstr("the document: found array, expected an object"));
  write("tokenizer.json", "{\"version\": \"\xC0\"}");
  EXPECT_THAT(refusal(), HasSubstr("tokenizer.json: byte "));
  std::filesystem::resize_file(folder_ / "tokenizer.json", 500'000'000);  // sparse
  EXPECT_THAT(refusal(), HasSubstr("tokenizer.json: 500000000 bytes, at most 67108864 allowed"));
  std::filesystem::remove(folder_ / "tokenizer.json");
  std::filesystem::create_directory(folder_ / "tokenizer.json");
  EXPECT_THAT(refusal(), HasSubstr("found a folder, expected a regular file"));
}

// A tree of these would take some hundred times their bytes.
TEST_F(ReadTokenizer, RefusesTooManyValuesWhileReading) {
  auto repeated = [](std::string_view item, size_t times) {
    std::string list;
    for (size_t i = 0; i < times; ++i) (list += i == 0 ? "" : ",") += item;
    return list;
  };
  const std::string name = (folder_ / "tokenizer.json").string();
  for (const char* item : {"{}", "[]", "0", "\"\""}) {
    write("tokenizer.json", "{\"a\":[" + repeated(item, 3'000'000));  // the end is never looked at
    EXPECT_EQ(refusal(), name + ": more than 200000 values") << item;
    write("tokenizer.json", "{\"model\":{\"merges\":[\"a b\",[" + repeated(item, 300'000));
    EXPECT_EQ(refusal(), name + ": more than 200000 values") << item;
  }
  write("tokenizer.json", "{\"model\":{\"merges\":[" + repeated("\"a b\"", 1'100'000));
  EXPECT_EQ(refusal(), name + ": model.merges: more than 1048576 entries");
}

TEST_F(ReadTokenizer, RefusesDuplicateKeys) {
  std::string text = good_document().dump();
  size_t place = text.find("\"a\":97");
  ASSERT_NE(place, std::string::npos);
  write("tokenizer.json", text.insert(place, "\"a\":500,"));
  EXPECT_THAT(refusal(), HasSubstr("tokenizer.json: tokens 97 and 500 are both \"a\""));
  text = good_document().dump();
  write("tokenizer.json", text.insert(1, "\"version\":\"1.0\","));
  EXPECT_THAT(refusal(), HasSubstr("tokenizer.json: duplicate key \"version\""));
}

// The tokenizer of the model that ships with the project.
TEST_F(ReadTokenizer, TakesTheSmallModel) {
  Tokenizer tokenizer(read_tokenizer_folder(std::filesystem::path(QVL_SOURCE_DIR) / "models" / "shapes"));
  auto start = tokenizer.find_added("<|im_start|>");
  auto end = tokenizer.find_added("<|im_end|>");
  ASSERT_TRUE(start && end && tokenizer.find_added("<|image_pad|>"));
  const std::string turn = "<|im_start|>user\nHow many red circles, 12 or 3?<|im_end|>";
  std::vector<TokenId> parsed = tokenizer.encode(turn, ControlTokens::parse);
  EXPECT_EQ(parsed.front(), *start);
  EXPECT_EQ(parsed.back(), *end);
  EXPECT_LT(parsed.size(), 20u);  // far fewer than the 35 bytes between them: the merges are used
  std::vector<TokenId> spelled = tokenizer.encode(turn, ControlTokens::plain_text);
  EXPECT_EQ(std::count(spelled.begin(), spelled.end(), *start), 0);
  for (const auto& ids : {parsed, spelled}) EXPECT_EQ(tokenizer.decode(ids, Tokenizer::Special::keep), turn);
}

}  // namespace
}  // namespace qvl
