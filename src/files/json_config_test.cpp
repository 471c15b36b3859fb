// config.json and the JSON files beside it: both written forms, defaults, and everything that can be wrong.
#include "files/json_config.h"

#include "files/generation_config.h"
#include "files/preprocessor_config.h"
#include "files/test_files.h"

namespace qvl {
namespace {

using namespace testing_files;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

JsonModelConfig read(const Json& config) {
  TempFolder folder;
  folder.write("config.json", config.dump());
  return read_model_config(folder.path());
}

TEST(ModelConfigTest, PublishedForm) {
  JsonModelConfig config = read(good_config());
  const TextConfig& text = config.model.text;
  EXPECT_EQ(text.hidden_size, 2048);
  EXPECT_EQ(text.intermediate_size, 6144);
  EXPECT_EQ(text.num_hidden_layers, 28);
  EXPECT_EQ(text.num_attention_heads, 16);
  EXPECT_EQ(text.num_key_value_heads, 8);
  EXPECT_EQ(text.head_dim, 128);
  EXPECT_EQ(text.vocab_size, 151936);
  EXPECT_EQ(text.max_position_embeddings, 262144);
  EXPECT_EQ(text.rms_norm_eps, 1e-6);
  EXPECT_EQ(text.rope_theta, 5e6);
  EXPECT_THAT(text.mrope_section, ElementsAre(24, 20, 20));
  EXPECT_TRUE(text.tie_word_embeddings);
  EXPECT_EQ(text.kv_width(), 1024);
  const VisionConfig& vision = config.model.vision;
  EXPECT_EQ(vision.hidden_size, 1024);
  EXPECT_EQ(vision.intermediate_size, 4096);
  EXPECT_EQ(vision.depth, 24);
  EXPECT_EQ(vision.head_dim(), 64);
  EXPECT_EQ(vision.out_hidden_size, 2048);
  EXPECT_EQ(vision.patch_values(), 1536);
  EXPECT_EQ(vision.num_position_embeddings, 2304);
  EXPECT_THAT(vision.deepstack_visual_indexes, ElementsAre(5, 11, 17));
  EXPECT_EQ(vision.layer_norm_eps, 1e-6);
  EXPECT_TRUE(config.model.has_vision);
  EXPECT_EQ(config.model.tokens.image, 151655);
  EXPECT_EQ(config.model.tokens.video, 151656);
  EXPECT_EQ(config.model.tokens.vision_start, 151652);
  EXPECT_EQ(config.model.tokens.vision_end, 151653);
  EXPECT_THAT(config.eos_token_ids, ElementsAre(151645, 151643));
}

TEST(ModelConfigTest, FormOfTransformers5) {
  Json config = good_config();
  Json& text = config["text_config"];
  text.erase("rope_theta");
  text.erase("rope_scaling");
  text["rope_parameters"] = {{"rope_type", "default"},
                             {"rope_theta", 1e6},
                             {"mrope_section", {22, 21, 21}},
                             {"mrope_interleaved", true}};
  config["vision_config"]["model_type"] = "qwen3_vl_vision";
  JsonModelConfig read_config = read(config);
  EXPECT_EQ(read_config.model.text.rope_theta, 1e6);
  EXPECT_THAT(read_config.model.text.mrope_section, ElementsAre(22, 21, 21));
}

TEST(ModelConfigTest, TheTopLevelDecidesTying) {
  Json config = good_config();
  config["tie_word_embeddings"] = false;
  EXPECT_FALSE(read(config).model.text.tie_word_embeddings);
  config.erase("tie_word_embeddings");
  EXPECT_TRUE(read(config).model.text.tie_word_embeddings);
}

TEST(ModelConfigTest, HeadDimIsItsOwnField) {
  Json config = good_config();
  config["text_config"]["num_attention_heads"] = 32;  // 32 * 128 is not the hidden size
  EXPECT_EQ(read(config).model.text.query_width(), 4096);
}

struct BadField {
  const char* pointer;
  const char* value;  // JSON, or "" to remove the field
  const char* message;
};

std::string refused_with(const BadField& row) {
  Json config = good_config();
  Json::json_pointer place(row.pointer);
  if (*row.value == '\0') {
    config.at(place.parent_pointer()).erase(place.back());
  } else {
    config[place] = Json::parse(row.value);
  }
  return refusal([&] { read(config); });
}

TEST(ModelConfigTest, OtherArchitecturesAreRefusedByName) {
  const BadField rows[] = {
      {"/architectures", R"(["LlamaForCausalLM"])",
       "architectures: found \"LlamaForCausalLM\", expected \"Qwen3VLForConditionalGeneration\""},
      {"/architectures", R"(["Qwen3VLMoeForConditionalGeneration"])",
       "mixture-of-experts models are not supported"},
      {"/architectures", "[]", "architectures: expected [\"Qwen3VLForConditionalGeneration\"]"},
      {"/model_type", R"("qwen2_vl")", "model_type: found \"qwen2_vl\", expected \"qwen3_vl\""},
      {"/model_type", R"("qwen3_vl_moe")", "mixture-of-experts models are not supported"},
      {"/model_type", "", "model_type: missing"},
      {"/quantization_config", "{}", "quantization_config: quantised safetensors are not supported"},
      {"/text_config/model_type", R"("qwen3")",
       "text_config.model_type: found \"qwen3\", expected \"qwen3_vl_text\""},
      {"/vision_config/model_type", R"("siglip")", "vision_config.model_type: found \"siglip\""},
      {"/text_config/hidden_act", R"("gelu")", "text_config.hidden_act: found \"gelu\", expected \"silu\""},
      {"/vision_config/hidden_act", R"("gelu")",
       "vision_config.hidden_act: found \"gelu\", expected \"gelu_pytorch_tanh\""},
      {"/text_config/attention_bias", "true", "text_config.attention_bias: found true, expected false"},
  };
  for (const BadField& row : rows) EXPECT_THAT(refused_with(row), HasSubstr(row.message));
}

TEST(ModelConfigTest, BadTextDimensionsAreRefusedByName) {
  const BadField rows[] = {
      {"/text_config", "", "text_config: missing"},
      {"/text_config", "[]", "text_config: found array, expected an object"},
      {"/text_config/hidden_size", "0",
       "text_config.hidden_size: found 0, expected an integer from 1 to 65536"},
      {"/text_config/hidden_size", "2048.0", "text_config.hidden_size: found 2048.0, expected an integer"},
      {"/text_config/hidden_size", R"("2048")",
       "text_config.hidden_size: found \"2048\", expected an integer"},
      {"/text_config/intermediate_size", "1048577", "text_config.intermediate_size: found 1048577"},
      {"/text_config/num_hidden_layers", "0",
       "text_config.num_hidden_layers: found 0, expected an integer from 1 to 1024"},
      {"/text_config/num_hidden_layers", "4611686018427387904",
       "text_config.num_hidden_layers: found 4611686018427387904"},
      {"/text_config/num_hidden_layers", "18446744073709551615",
       "text_config.num_hidden_layers: found 18446744073709551615"},
      {"/text_config/num_attention_heads", "0", "text_config.num_attention_heads: found 0"},
      {"/text_config/num_attention_heads", "12",
       "text_config.num_key_value_heads: found 8, expected a divisor of text_config.num_attention_heads "
       "(12)"},
      {"/text_config/num_key_value_heads", "32",
       "text_config.num_key_value_heads: found 32, expected a divisor"},
      {"/text_config/num_key_value_heads", "-1", "text_config.num_key_value_heads: found -1"},
      {"/text_config/head_dim", "", "text_config.head_dim: missing"},
      {"/text_config/head_dim", "0", "text_config.head_dim: found 0"},
      {"/text_config/head_dim", "127", "text_config.head_dim: found 127, expected an even number"},
      {"/text_config/head_dim", "64", "mrope_section: found [24, 20, 20] with sum 64, expected the sum 32"},
      {"/text_config/vocab_size", "0", "text_config.vocab_size: found 0"},
      {"/text_config/vocab_size", "151655",
       "image_token_id: found 151655, expected an integer from 0 to 151654"},
      {"/text_config/max_position_embeddings", "0", "text_config.max_position_embeddings: found 0"},
      {"/text_config/max_position_embeddings", "4611686018427387904",
       "text_config.max_position_embeddings: found 46116"},
      {"/text_config/rms_norm_eps", "0",
       "text_config.rms_norm_eps: found 0, expected a number from 1e-12 to 0.1"},
      {"/text_config/rope_theta", "", "text_config.rope_theta: missing"},
      {"/text_config/rope_theta", "0", "text_config.rope_theta: found 0"},
      {"/text_config/rope_scaling/rope_type", R"("yarn")",
       "text_config.rope_scaling.rope_type: found \"yarn\", expected \"default\""},
      {"/text_config/rope_scaling/mrope_interleaved", "false",
       "mrope_interleaved: found false, expected true"},
      {"/text_config/rope_scaling/mrope_section", "[32, 32]",
       "text_config.rope_scaling.mrope_section: 2 numbers, expected 3"},
      {"/text_config/rope_scaling/mrope_section", "[-1, 32, 33]",
       "mrope_section: expected a list of integers from 0 to 512"},
      {"/text_config/rope_scaling/mrope_section", "[24, 20, 21]",
       "mrope_section: found [24, 20, 21] with sum 65, expected the sum 64"},
      {"/text_config/rope_parameters", "{}", "text_config.rope_parameters.rope_theta: missing"},
      {"/text_config/eos_token_id", "151936", "text_config.eos_token_id: found 151936"},
      {"/tie_word_embeddings", "1", "tie_word_embeddings: found 1, expected true or false"},
  };
  for (const BadField& row : rows) EXPECT_THAT(refused_with(row), HasSubstr(row.message));
}

TEST(ModelConfigTest, BadVisionDimensionsAreRefusedByName) {
  const BadField rows[] = {
      {"/vision_config", "", "vision_config: missing"},
      {"/vision_config/depth", "0", "vision_config.depth: found 0"},
      {"/vision_config/num_heads", "0", "vision_config.num_heads: found 0"},
      {"/vision_config/num_heads", "15",
       "vision_config.num_heads: found 15, expected a divisor of vision_config.hidden_size (1024)"},
      {"/vision_config/num_heads", "512", "heads of 2 values, expected a multiple of 4"},
      {"/vision_config/out_hidden_size", "1024", "vision_config.out_hidden_size: found 1024, expected 2048"},
      {"/vision_config/in_channels", "1",
       "vision_config.in_channels: found 1, expected an integer from 3 to 3"},
      {"/vision_config/patch_size", "0",
       "vision_config.patch_size: found 0, expected an integer from 4 to 64"},
      {"/vision_config/temporal_patch_size", "0",
       "vision_config.temporal_patch_size: found 0, expected an integer from 2 to 2"},
      {"/vision_config/spatial_merge_size", "0", "vision_config.spatial_merge_size: found 0"},
      {"/vision_config/spatial_merge_size", "1", "vision_config.spatial_merge_size: found 1"},
      {"/vision_config/spatial_merge_size", "3", "vision_config.spatial_merge_size: found 3"},
      {"/vision_config/num_position_embeddings", "2305",
       "num_position_embeddings: found 2305, expected a square number"},
      {"/vision_config/deepstack_visual_indexes", "[5, 11, 24]",
       "deepstack_visual_indexes: expected a list of integers from 0 to 23"},
      {"/vision_config/deepstack_visual_indexes", "[5, 5]",
       "found [5, 5], expected ascending numbers from 0 to 23"},
      {"/vision_config/deepstack_visual_indexes", "[11, 5]", "found [11, 5], expected ascending numbers"},
      {"/vision_config/deepstack_visual_indexes", "5",
       "deepstack_visual_indexes: expected a list of integers"},
      {"/image_token_id", "", "image_token_id: missing"},
      {"/video_token_id", "151655", "video_token_id: found 151655, which is another special token"},
      {"/vision_end_token_id", "-1", "vision_end_token_id: found -1"},
  };
  for (const BadField& row : rows) EXPECT_THAT(refused_with(row), HasSubstr(row.message));
  Json few_layers = good_config();
  few_layers["text_config"]["num_hidden_layers"] = 2;
  EXPECT_THAT(refusal([&] { read(few_layers); }),
              HasSubstr("3 entries, at most as many as the 2 decoder layers"));
}

TEST(ModelConfigTest, BadFilesAreRefused) {
  TempFolder folder;
  EXPECT_THAT(refusal([&] { read_model_config(folder.path()); }), HasSubstr("config.json: cannot open"));
  const std::pair<std::string, const char*> rows[] = {
      {"", "config.json: byte 1"},
      {"[]", "the document: found array"},
      {"{\"a\":1,\"a\":2}", "duplicate key \"a\""},
      {std::string(100000, '['), "nested deeper than 64 levels"},
      {std::string((1 << 20) + 1, ' '), "1048577 bytes, at most 1048576 allowed"},
  };
  for (const auto& [text, message] : rows) {
    folder.write("config.json", text);
    EXPECT_THAT(refusal([&] { read_model_config(folder.path()); }), HasSubstr(message));
  }
}

// ------------------------------------------------------------------------------------------------
// generation_config

const GenerationFallback fallback{.vocab_size = 151936, .eos_token_ids = {151645, 151643}};

TEST(GenerationConfigTest, FileAndDefaults) {
  TempFolder folder;
  GenerationConfig published = read_generation_config(folder.path(), fallback);
  EXPECT_TRUE(published.do_sample);
  EXPECT_EQ(published.temperature, 0.7);
  EXPECT_EQ(published.top_k, 20);
  EXPECT_EQ(published.top_p, 0.8);
  EXPECT_EQ(published.repetition_penalty, 1.0);
  EXPECT_THAT(published.eos_token_ids, ElementsAre(151645, 151643));
  folder.write("generation_config.json", R"({"do_sample":true,"temperature":0.5,"top_k":7,"top_p":0.9,
    "repetition_penalty":1.1,"eos_token_id":[9,8]})");
  GenerationConfig given = read_generation_config(folder.path(), fallback);
  EXPECT_TRUE(given.do_sample);
  EXPECT_EQ(given.temperature, 0.5);
  EXPECT_EQ(given.top_k, 7);
  EXPECT_EQ(given.top_p, 0.9);
  EXPECT_EQ(given.repetition_penalty, 1.1);
  EXPECT_THAT(given.eos_token_ids, ElementsAre(9, 8));
  folder.write("generation_config.json", R"({"eos_token_id":9})");
  GenerationConfig sparse = read_generation_config(folder.path(), fallback);
  EXPECT_FALSE(sparse.do_sample);
  EXPECT_EQ(sparse.temperature, 1.0);
  EXPECT_THAT(sparse.eos_token_ids, ElementsAre(9));
  folder.write("generation_config.json", "{}");
  EXPECT_THAT(
      read_generation_config(folder.path(), {.vocab_size = 151644, .eos_token_ids = {}}).eos_token_ids,
      ElementsAre(151643));
}

TEST(GenerationConfigTest, BadFieldsAreRefusedByName) {
  const std::pair<const char*, const char*> rows[] = {
      {R"({"temperature":-1})", "temperature: found -1, expected a number from 0 to 100"},
      {R"({"top_k":-1})", "top_k: found -1"},
      {R"({"top_p":1.5})", "top_p: found 1.5"},
      {R"({"repetition_penalty":0})", "repetition_penalty: found 0"},
      {R"({"do_sample":"yes"})", "do_sample: found \"yes\", expected true or false"},
      {R"({"eos_token_id":151936})", "eos_token_id: found 151936, expected an integer from 0 to 151935"},
      {R"({"eos_token_id":[]})", "eos_token_id: expected 1 to 64 integers from 0 to 151935"},
      {R"({"eos_token_id":[-1]})", "eos_token_id: expected 1 to 64 integers"},
      {R"({"eos_token_id":[18446744073709551615]})", "eos_token_id: expected 1 to 64 integers"},
  };
  TempFolder folder;
  for (const auto& [text, message] : rows) {
    folder.write("generation_config.json", text);
    EXPECT_THAT(refusal([&] { read_generation_config(folder.path(), fallback); }), HasSubstr(message));
  }
}

// ------------------------------------------------------------------------------------------------
// preprocessors

TEST(PreprocessorConfigTest, FileAndDefaults) {
  TempFolder folder;
  VisionConfig vision;
  PreprocessorConfig image = read_preprocessor_config(folder.path(), MediaKind::image, vision);
  EXPECT_EQ(image.min_pixels, 65536);
  EXPECT_EQ(image.max_pixels, 16777216);
  PreprocessorConfig video = read_preprocessor_config(folder.path(), MediaKind::video, vision);
  EXPECT_EQ(video.min_pixels, 4096);
  EXPECT_EQ(video.max_pixels, 25165824);
  EXPECT_EQ(video.fps, 2.0);
  folder.write("preprocessor_config.json", R"({"size":{"shortest_edge":1024,"longest_edge":4096},
    "image_mean":[0.1,0.2,0.3],"image_std":[0.4,0.5,0.6],"patch_size":16,"fps":9})");
  image = read_preprocessor_config(folder.path(), MediaKind::image, vision);
  EXPECT_EQ(image.min_pixels, 1024);
  EXPECT_EQ(image.max_pixels, 4096);
  EXPECT_THAT(image.image_mean, ElementsAre(0.1, 0.2, 0.3));
  EXPECT_THAT(image.image_std, ElementsAre(0.4, 0.5, 0.6));
  EXPECT_EQ(image.fps, 2.0);  // a matter of videos
  folder.write("video_preprocessor_config.json",
               R"({"size":{"shortest_edge":1,"longest_edge":2},"min_pixels":2048,
    "max_pixels":8192,"fps":1.5,"min_frames":2,"max_frames":64})");
  video = read_preprocessor_config(folder.path(), MediaKind::video, vision);
  EXPECT_EQ(video.min_pixels, 2048);
  EXPECT_EQ(video.max_pixels, 8192);
  EXPECT_EQ(video.fps, 1.5);
  EXPECT_EQ(video.min_frames, 2);
  EXPECT_EQ(video.max_frames, 64);
}

TEST(PreprocessorConfigTest, BadFieldsAreRefusedByName) {
  const std::pair<const char*, const char*> rows[] = {
      {R"({"size":{"height":1,"width":1}})", "size.shortest_edge: missing"},
      {R"({"size":{"shortest_edge":0,"longest_edge":4096}})", "size.shortest_edge: found 0"},
      {R"({"size":{"shortest_edge":8192,"longest_edge":4096}})",
       "size: smallest 8192 pixels, more than the largest 4096"},
      {R"({"max_pixels":1000,"min_pixels":1})",
       "max_pixels: largest 1000 pixels, less than one merged patch of 32 by 32"},
      {R"({"patch_size":14})", "patch_size: found 14, expected 16 as in config.json"},
      {R"({"merge_size":1})", "merge_size: found 1, expected 2"},
      {R"({"do_normalize":false})", "do_normalize: found false, expected true"},
      {R"({"rescale_factor":1})", "rescale_factor: expected 1/255"},
      {R"({"image_mean":[0.5]})", "image_mean: expected 3 numbers"},
      {R"({"image_std":[0.5,0,0.5]})", "image_std: expected 3 numbers from 0.001 to 1"},
      {R"({"fps":0})", "fps: found 0"},
      {R"({"min_frames":10,"max_frames":4})", "min_frames: found 10, more than max_frames 4"},
  };
  TempFolder folder;
  for (const auto& [text, message] : rows) {
    folder.write("video_preprocessor_config.json", text);
    EXPECT_THAT(refusal([&] { read_preprocessor_config(folder.path(), MediaKind::video, VisionConfig{}); }),
                HasSubstr(message));
  }
}

}  // namespace
}  // namespace qvl
