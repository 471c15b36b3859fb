// GGUF files: a good pair, and everything that can be wrong with one.
#include "files/gguf_file.h"
#include "files/gguf_names.h"
#include "files/model_files.h"
#include "files/test_files.h"

namespace qvl {
namespace {

using namespace testing_files;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ModelFiles open(const GgufBuilder& text, const GgufBuilder& vision) {
  TempFolder folder;
  return open_model_files(folder.write("t.gguf", text.build()), folder.write("v.gguf", vision.build()));
}

TEST(GgufTest, TextAndVision) {
  ModelFiles files = open(good_text_gguf(), good_vision_gguf());
  const TextConfig& text = files.config.text;
  EXPECT_EQ(text.hidden_size, 8);
  EXPECT_EQ(text.intermediate_size, 32);
  EXPECT_EQ(text.num_hidden_layers, 2);
  EXPECT_EQ(text.num_attention_heads, 4);
  EXPECT_EQ(text.num_key_value_heads, 2);
  EXPECT_EQ(text.head_dim, 8);
  EXPECT_EQ(text.vocab_size, 8);
  EXPECT_EQ(text.max_position_embeddings, 128);
  EXPECT_EQ(text.rms_norm_eps, 1e-6f);
  EXPECT_EQ(text.rope_theta, 5e6);
  EXPECT_THAT(text.mrope_section, ElementsAre(2, 1, 1));
  EXPECT_FALSE(text.tie_word_embeddings);
  const VisionConfig& vision = files.config.vision;
  EXPECT_TRUE(files.config.has_vision);
  EXPECT_EQ(vision.hidden_size, 16);
  EXPECT_EQ(vision.intermediate_size, 24);
  EXPECT_EQ(vision.depth, 3);
  EXPECT_EQ(vision.num_heads, 2);
  EXPECT_EQ(vision.out_hidden_size, 8);
  EXPECT_EQ(vision.num_position_embeddings, 9);
  EXPECT_THAT(vision.deepstack_visual_indexes, ElementsAre(1));
  EXPECT_EQ(files.config.tokens.vision_start, 4);
  EXPECT_EQ(files.config.tokens.vision_end, 5);
  EXPECT_EQ(files.config.tokens.image, 6);
  EXPECT_EQ(files.config.tokens.video, 7);
  EXPECT_THAT(files.generation.eos_token_ids, ElementsAre(3, 2));
  EXPECT_EQ(files.image_preprocessor.max_pixels, 16777216);
  EXPECT_THAT(files.image_preprocessor.image_mean, ElementsAre(0.5, 0.25, 0.5));
  EXPECT_EQ(files.gguf_tokenizer->tokens[2], "<|endoftext|>");
  EXPECT_THAT(files.gguf_tokenizer->types, ElementsAre(1, 1, 3, 3, 3, 3, 3, 3));
  EXPECT_THAT(files.gguf_tokenizer->merges, ElementsAre("a b"));
  EXPECT_TRUE(files.folder.empty());
}

TEST(GgufTest, TensorsHaveTheNamesAndShapesOfHuggingFace) {
  ModelFiles files = open(good_text_gguf(), good_vision_gguf());
  EXPECT_THAT(files.tensors->names(),
              ElementsAre("lm_head.weight", "model.language_model.embed_tokens.weight",
                          "model.language_model.layers.0.mlp.down_proj.weight",
                          "model.language_model.layers.1.self_attn.q_proj.weight",
                          "model.language_model.norm.weight", "model.visual.blocks.2.attn.proj.bias",
                          "model.visual.deepstack_merger_list.0.linear_fc2.weight",
                          "model.visual.merger.linear_fc2.bias", "model.visual.merger.norm.bias",
                          "model.visual.patch_embed.proj.weight.0", "model.visual.patch_embed.proj.weight.1",
                          "model.visual.pos_embed.weight"));
  const TensorView* down = files.tensors->find("model.language_model.layers.0.mlp.down_proj.weight");
  EXPECT_THAT(down->shape, ElementsAre(8, 32));
  EXPECT_EQ(down->dtype, DType::q8_0);
  EXPECT_EQ(down->bytes.size(), 272u);
  EXPECT_THAT(files.tensors->find("model.visual.patch_embed.proj.weight.1")->shape,
              ElementsAre(16, 3, 16, 16));
  EXPECT_THAT(files.tensors->find("model.language_model.layers.1.self_attn.q_proj.weight")->shape,
              ElementsAre(32, 8));
}

TEST(GgufTest, NamesOfAllParts) {
  EXPECT_EQ(text_tensor_name("blk.27.attn_k_norm.weight"),
            "model.language_model.layers.27.self_attn.k_norm.weight");
  EXPECT_EQ(text_tensor_name("blk.3.ffn_norm.weight"),
            "model.language_model.layers.3.post_attention_layernorm.weight");
  EXPECT_EQ(text_tensor_name("blk.0.attn_norm.weight"),
            "model.language_model.layers.0.input_layernorm.weight");
  EXPECT_EQ(text_tensor_name("blk.03.ffn_norm.weight"), "blk.03.ffn_norm.weight");
  EXPECT_EQ(text_tensor_name("blk.-1.ffn_norm.weight"), "blk.-1.ffn_norm.weight");
  EXPECT_EQ(text_tensor_name("blk.99999999999999999999.ffn_norm.weight"),
            "blk.99999999999999999999.ffn_norm.weight");
  EXPECT_EQ(text_tensor_name("blk.3"), "blk.3");
  EXPECT_EQ(text_tensor_name("rope_freqs.weight"), "rope_freqs.weight");
  EXPECT_EQ(vision_tensor_name("v.blk.4.ln2.bias", {}), "model.visual.blocks.4.norm2.bias");
  EXPECT_EQ(vision_tensor_name("v.blk.4.ffn_down.weight", {}), "model.visual.blocks.4.mlp.linear_fc2.weight");
  EXPECT_EQ(vision_tensor_name("v.deepstack.17.norm.bias", {5, 11, 17}),
            "model.visual.deepstack_merger_list.2.norm.bias");
  EXPECT_EQ(vision_tensor_name("v.deepstack.1.norm.bias", {5, 11, 17}), "v.deepstack.1.norm.bias");
  EXPECT_EQ(vision_tensor_name("mm.0.weight", {}), "model.visual.merger.linear_fc1.weight");
}

TEST(GgufTest, TextAloneHasNoVision) {
  TempFolder folder;
  GgufBuilder text = good_text_gguf();
  std::erase_if(text.tensors, [](const auto& tensor) { return tensor.name == "output.weight"; });
  text.version = 2;
  ModelFiles files = open_model_files(folder.write("t.gguf", text.build()), std::nullopt);
  EXPECT_FALSE(files.config.has_vision);
  EXPECT_TRUE(files.config.text.tie_word_embeddings);
}

TEST(GgufTest, AlignmentIsHonoured) {
  GgufBuilder text = good_text_gguf();
  text.u32("general.alignment", 256);
  text.alignment = 256;
  EXPECT_EQ(open(text, good_vision_gguf()).tensors->names().size(), 12u);
}

struct BadFile {
  std::function<void(GgufBuilder&)> spoil;
  std::string message;
};

void text_refused(const BadFile& row) {
  GgufBuilder text = good_text_gguf();
  row.spoil(text);
  TempFolder folder;
  auto path = folder.write("t.gguf", text.build());
  EXPECT_THAT(refusal([&] { open_model_files(path, std::nullopt); }), HasSubstr(row.message));
}

TEST(GgufTest, BadContainersAreRefused) {
  using G = GgufBuilder;
  const BadFile rows[] = {
      {[](G& g) { g.magic = "GGML"; }, "byte 0: magic: found \"GGML\", expected \"GGUF\""},
      {[](G& g) { g.version = 1; }, "version: found 1, expected 2 or 3"},
      {[](G& g) { g.version = 4; }, "version: found 4"},
      {[](G& g) { g.version = 0x03000000; }, "version: the file is big-endian"},
      {[](G& g) { g.extra_tensors = uint64_t{1} << 63; }, "tensor count: found 92233720368547758"},
      {[](G& g) { g.extra_keys = uint64_t{1} << 63; }, "key count: found 92233720368547758"},
      {[](G& g) { g.extra_tensors = 65536; }, "tensor count: found 65541, at most 65536 allowed"},
      {[](G& g) { g.set("k", 13, ""); }, "k: unknown value type 13"},
      {[](G& g) { g.set("k", 8, little(uint64_t{1} << 63)); },
       "k: length 9223372036854775808, at most 16777216"},
      {[](G& g) { g.set("k", 8, little(uint64_t{1} << 20)); }, "k: 1048576 bytes needed"},
      {[](G& g) { g.set("k", 9, G::array(0, uint64_t{1} << 63, "")); },
       "k: array of 9223372036854775808 elements"},
      {[](G& g) { g.set("k", 9, G::array(8, uint64_t{1} << 61, "")); },
       "k: array of 2305843009213693952 elements"},
      {[](G& g) { g.set("k", 9, G::array(9, 1, G::array(0, 0, ""))); },
       "k: arrays of arrays are not supported"},
      {[](G& g) { g.set("k", 9, G::array(77, 1, "")); }, "k: unknown value type 77"},
      {[](G& g) { g.keys.push_back(g.keys[3]); }, "qwen3vl.embedding_length: duplicate key"},
      {[](G& g) { g.set("", 0, "x"); }, "key 19: is empty"},
      {[](G& g) { g.set("a\nb", 0, "x"); }, "key 19: has characters other than printable ASCII"},
      {[](G& g) { g.set(std::string(2000, 'k'), 0, "x"); }, "key 19: length 2000, at most 1024 allowed"},
  };
  for (const BadFile& row : rows) text_refused(row);
}

TEST(GgufTest, BadTensorsAreRefusedByName) {
  using G = GgufBuilder;
  const BadFile rows[] = {
      {[](G& g) { g.tensors[1].name = "token_embd.weight"; }, "tensor \"token_embd.weight\": duplicate name"},
      {[](G& g) { g.tensors[1].name = "model.language_model.norm.weight"; }, "another tensor has its place"},
      {[](G& g) { g.tensors[1].name = ""; }, "name of tensor 1: is empty"},
      {[](G& g) { g.tensors[1].ne = {}; }, "tensor \"output.weight\": 0 dimensions, expected 1 to 4"},
      {[](G& g) {
         g.tensors[1].ne = {1, 1, 1, 1, 1};
       },
       "tensor \"output.weight\": 5 dimensions"},
      {[](G& g) {
         g.tensors[1].ne = {8, 0};
       },
       "tensor \"output.weight\": dimension 1 is 0"},
      {[](G& g) {
         g.tensors[1].ne = {8, UINT64_MAX};
       },
       "tensor \"output.weight\": dimension 1 is -1"},
      {[](G& g) {
         g.tensors[1].ne = {1u << 31, 1u << 31, 1u << 31};
       },
       "tensor \"output.weight\": shape [2147483648, 2147483648, 2147483648] is too large"},
      {[](G& g) { g.tensors[1].type = 3; },
       "tensor \"output.weight\": type Q4_1 is not supported, expected F32, F16, BF16"},
      {[](G& g) { g.tensors[1].type = 6; }, "type Q5_0 is not supported"},
      {[](G& g) { g.tensors[1].type = 7; }, "type Q5_1 is not supported"},
      {[](G& g) { g.tensors[1].type = 10; }, "type Q2_K is not supported"},
      {[](G& g) { g.tensors[1].type = 11; }, "type Q3_K is not supported"},
      {[](G& g) { g.tensors[1].type = 20; }, "type IQ4_NL is not supported"},
      {[](G& g) { g.tensors[1].type = 39; }, "type MXFP4 is not supported"},
      {[](G& g) { g.tensors[1].type = 4; }, "unknown tensor type 4"},
      {[](G& g) { g.tensors[1].type = 999; }, "unknown tensor type 999"},
      {[](G& g) { g.tensors[1].type = 12; },
       "tensor \"output.weight\": rows of 8, expected a multiple of 256 for Q4_K"},
      {[](G& g) { g.tensors[1].offset_error = 1; },
       "tensor \"output.weight\": offset 257, expected 256 (alignment 32)"},
      {[](G& g) { g.tensors[1].offset_error = 32; }, "tensor \"output.weight\": offset 288, expected 256"},
      {[](G& g) { g.tensors[1].offset_error = -uint64_t{256}; },
       "tensor \"output.weight\": offset 0, expected 256"},
      {[](G& g) { g.tensors[0].offset_error = uint64_t{1} << 63; }, "offset 9223372036854775808, expected 0"},
      {[](G& g) { g.tensors[4].ne = {1024}; },
       "tensor \"output_norm.weight\": 4096 bytes at offset 1184, but the file has 1216 data bytes"},
      {[](G& g) { g.missing_bytes = 1; },
       "tensor \"output_norm.weight\": 32 bytes at offset 1184, but the file has 1215"},
      {[](G& g) { g.missing_bytes = 1300; }, "bytes needed"},
      {[](G& g) { g.u32("general.alignment", 0); },
       "general.alignment: found 0, expected an integer from 8 to 65536"},
      {[](G& g) { g.u32("general.alignment", 1u << 31); }, "general.alignment: found 2147483648"},
      {[](G& g) { g.u32("general.alignment", 24); }, "general.alignment: found 24, expected a power of two"},
      {[](G& g) { g.tensors[3].name = "blk.1.attn_qkv.weight"; },
       "fused attention weights are not supported"},
  };
  for (const BadFile& row : rows) text_refused(row);
}

TEST(GgufTest, BadTextMetadataAreRefusedByName) {
  using G = GgufBuilder;
  const BadFile rows[] = {
      {[](G& g) { g.remove("general.architecture"); }, "general.architecture: missing"},
      {[](G& g) { g.string("general.architecture", "llama"); },
       "general.architecture: found \"llama\", expected \"qwen3vl\""},
      {[](G& g) { g.string("general.architecture", "qwen3vlmoe"); },
       "mixture-of-experts models are not supported"},
      {[](G& g) { g.string("general.architecture", "clip"); }, "a vision file (mmproj)"},
      {[](G& g) { g.string("general.architecture", "\xff"); },
       "general.architecture: is no well-formed UTF-8"},
      {[](G& g) { g.u32("general.architecture", 1); }, "general.architecture: found u32, expected a string"},
      {[](G& g) { g.u32("split.count", 2); }, "split GGUF files are not supported"},
      {[](G& g) { g.string("qwen3vl.rope.scaling.type", "yarn"); },
       "qwen3vl.rope.scaling.type: found \"yarn\", expected \"none\""},
      {[](G& g) { g.u32("qwen3vl.block_count", 0); },
       "qwen3vl.block_count: found 0, expected an integer from 1 to 1024"},
      {[](G& g) { g.f32("qwen3vl.block_count", 2); }, "qwen3vl.block_count: found f32, expected an integer"},
      {[](G& g) { g.set("qwen3vl.block_count", 5, little(-1)); }, "qwen3vl.block_count: found -1"},
      {[](G& g) { g.set("qwen3vl.block_count", 10, little(UINT64_MAX)); }, "qwen3vl.block_count: found u64"},
      {[](G& g) { g.set("qwen3vl.context_length", 10, little(uint64_t{1} << 62)); },
       "qwen3vl.context_length: found 4611686018427387904"},
      {[](G& g) { g.u32("qwen3vl.embedding_length", 0); }, "qwen3vl.embedding_length: found 0"},
      {[](G& g) { g.u32("qwen3vl.feed_forward_length", UINT32_MAX); },
       "qwen3vl.feed_forward_length: found 4294967295"},
      {[](G& g) { g.u32("qwen3vl.attention.head_count_kv", 3); },
       "qwen3vl.attention.head_count_kv: found 3, expected a divisor of qwen3vl.attention.head_count (4)"},
      {[](G& g) { g.u32("qwen3vl.attention.key_length", 9); },
       "qwen3vl.attention.key_length: found 9, expected an even number"},
      {[](G& g) { g.u32("qwen3vl.attention.value_length", 16); },
       "qwen3vl.attention.value_length: found 16, expected an integer from 8 to 8"},
      {[](G& g) { g.remove("qwen3vl.rope.freq_base"); }, "qwen3vl.rope.freq_base: missing"},
      {[](G& g) { g.f32("qwen3vl.rope.freq_base", std::bit_cast<float>(0x7FC00000)); },
       "qwen3vl.rope.freq_base: found nan"},
      {[](G& g) { g.u32("qwen3vl.rope.freq_base", 5); },
       "qwen3vl.rope.freq_base: found u32, expected a number"},
      {[](G& g) { g.u32("qwen3vl.rope.dimension_sections", 5); }, "found u32, expected an array of integers"},
      {[](G& g) { g.set("qwen3vl.rope.dimension_sections", 9, G::array(5, 5, std::string(20, '\0'))); },
       "found an array of 5 i32, at most 4 elements allowed"},
      {[](G& g) {
         g.set("qwen3vl.rope.dimension_sections", 9, G::array(5, 4, std::string(12, '\0') + little(1)));
       },
       "fourth section 1, expected 0"},
      {[](G& g) { g.set("qwen3vl.rope.dimension_sections", 9, G::array(6, 3, std::string(12, '\0'))); },
       "element 0 of an array of 3 f32: expected an integer"},
      {[](G& g) { g.set("qwen3vl.rope.dimension_sections", 9, G::array(5, 3, std::string(12, '\0'))); },
       "found [0, 0, 0] with sum 0, expected the sum 4"},
      {[](G& g) { g.remove("tokenizer.ggml.tokens"); }, "tokenizer.ggml.tokens: missing"},
      {[](G& g) { g.set("tokenizer.ggml.tokens", 9, G::texts({})); }, "tokenizer.ggml.tokens: is empty"},
      {[](G& g) { g.set("tokenizer.ggml.tokens", 9, G::texts({"a"})); },
       "tokenizer.ggml.token_type: 8 elements, expected 1"},
      {[](G& g) { g.set("tokenizer.ggml.tokens", 9, G::array(4, 8, std::string(32, '\0'))); },
       "found an array of 8 u32, expected strings"},
      {[](G& g) {
         g.set("tokenizer.ggml.tokens", 9, G::texts({"\xff", "", "", "", "", "", "", ""}));
       },
       "element 0 is no well-formed UTF-8"},
      {[](G& g) {
         g.set("tokenizer.ggml.tokens", 9, G::texts({"", "", "", "", "", "", "", ""}));
       },
       "\"<|image_pad|>\" is missing"},
      {[](G& g) { g.u32("tokenizer.ggml.eos_token_id", 8); },
       "tokenizer.ggml.eos_token_id: found 8, expected an integer from 0 to 7"},
  };
  for (const BadFile& row : rows) text_refused(row);
}

TEST(GgufTest, BadVisionFilesAreRefusedByName) {
  using G = GgufBuilder;
  const BadFile rows[] = {
      {[](G& g) { g = good_text_gguf(); }, "found \"qwen3vl\", expected \"clip\": no vision file (mmproj)"},
      {[](G& g) { g.set("clip.has_vision_encoder", 7, std::string(1, '\0')); },
       "clip.has_vision_encoder: found false"},
      {[](G& g) { g.string("clip.projector_type", "mlp"); },
       "clip.projector_type: found \"mlp\", expected \"qwen3vl_merger\""},
      {[](G& g) { g.u32("clip.vision.projection_dim", 16); },
       "clip.vision.projection_dim: found 16, expected 8, the hidden size of the text model"},
      {[](G& g) { g.u32("clip.vision.patch_size", 0); }, "clip.vision.patch_size: found 0"},
      {[](G& g) { g.u32("clip.vision.spatial_merge_size", 3); }, "clip.vision.spatial_merge_size: found 3"},
      {[](G& g) { g.u32("clip.vision.attention.head_count", 3); },
       "clip.vision.attention.head_count: found 3, expected a divisor"},
      {[](G& g) { g.u32("clip.vision.attention.head_count", 8); },
       "heads of 2 values, expected a multiple of 4"},
      {[](G& g) { g.u32("clip.vision.block_count", 4); },
       "clip.vision.is_deepstack_layers: 3 elements, expected 4"},
      {[](G& g) { g.set("clip.vision.is_deepstack_layers", 9, G::array(0, 3, "abc")); },
       "found an array of 3 u8, expected bool"},
      {[](G& g) { g.set("clip.vision.is_deepstack_layers", 9, G::array(7, 3, std::string(3, '\1'))); },
       "deepstack_layers: 3 entries, at most as many as the 2 decoder layers"},
      {[](G& g) { g.set("clip.vision.is_deepstack_layers", 9, G::array(7, 3, std::string(3, '\0'))); },
       "qwen3vl.n_deepstack_layers: found 1, but the vision file has 0 deepstack layers"},
      {[](G& g) { g.set("clip.vision.image_mean", 9, G::array(6, 2, std::string(8, '\0'))); },
       "clip.vision.image_mean: expected 3 numbers"},
      {[](G& g) { g.tensors[2].name = "x"; }, "tensor \"v.position_embd.weight\": missing"},
      {[](G& g) { g.tensors[2].ne = {144}; }, "tensor \"v.position_embd.weight\": shape [144]"},
      {[](G& g) {
         g.tensors[2].ne = {18, 8};
       },
       "rows of tensor \"v.position_embd.weight\": found 8, expected a square number"},
  };
  for (const BadFile& row : rows) {
    GgufBuilder vision = good_vision_gguf();
    row.spoil(vision);
    EXPECT_THAT(refusal([&] { open(good_text_gguf(), vision); }), HasSubstr(row.message));
  }
}

}  // namespace
}  // namespace qvl
