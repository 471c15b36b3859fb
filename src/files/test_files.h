// For the tests of this folder: small valid checkpoints, written to a folder that is removed afterwards.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace qvl::testing_files {

/// A new folder, removed with the object.
class TempFolder {
 public:
  TempFolder() {
    // In memory where there is such a place: some tests write thousands of files.
    std::error_code ignored;
    std::filesystem::path shared_memory = "/dev/shm";
    bool in_memory = std::filesystem::is_directory(shared_memory, ignored);
    auto parent = in_memory ? shared_memory : std::filesystem::temp_directory_path();
    std::string pattern = (parent / "qvl-files-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = pattern;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ / name, std::ios::binary | std::ios::trunc) << bytes;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

/// The message `action` is refused with; must be one line under the code for model files.
inline std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::model_file) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  return "(accepted)";
}

template <typename Number>
std::string little(Number value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

inline std::string safetensors(const std::string& header, const std::string& data) {
  return little<uint64_t>(header.size()) + header + data;
}

/// A text tensor of 2 x 3 BF16, an F32 scalar and an empty I64 tensor.
inline constexpr const char* good_header =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},)"
    R"("b":{"dtype":"F32","shape":[],"data_offsets":[12,16]},)"
    R"("c":{"dtype":"I64","shape":[0,5],"data_offsets":[16,16]}})";
inline std::string good_safetensors() { return safetensors(good_header, std::string(16, 'x')); }

/// config.json of the 2B model in the published form.
inline Json good_config() {
  return Json::parse(R"({
    "architectures": ["Qwen3VLForConditionalGeneration"], "model_type": "qwen3_vl",
    "tie_word_embeddings": true, "image_token_id": 151655, "video_token_id": 151656,
    "vision_start_token_id": 151652, "vision_end_token_id": 151653,
    "text_config": {
      "model_type": "qwen3_vl_text", "hidden_size": 2048, "num_hidden_layers": 28, "num_attention_heads": 16,
      "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 6144, "hidden_act": "silu",
      "rms_norm_eps": 1e-6, "rope_theta": 5000000, "vocab_size": 151936, "max_position_embeddings": 262144,
      "attention_bias": false,
      "rope_scaling": {"rope_type": "default", "mrope_section": [24, 20, 20], "mrope_interleaved": true},
      "bos_token_id": 151643, "eos_token_id": 151645, "tie_word_embeddings": true},
    "vision_config": {
      "model_type": "qwen3_vl", "hidden_size": 1024, "depth": 24, "num_heads": 16, "intermediate_size": 4096,
      "out_hidden_size": 2048, "in_channels": 3, "hidden_act": "gelu_pytorch_tanh", "patch_size": 16,
      "temporal_patch_size": 2, "spatial_merge_size": 2, "num_position_embeddings": 2304,
      "deepstack_visual_indexes": [5, 11, 17]}})");
}

/// Writes GGUF files key by key; every part can be spoilt before it is written.
struct GgufBuilder {
  struct Key {
    std::string name;
    uint32_t type;
    std::string value;  // as stored
  };
  struct Tensor {
    std::string name;
    std::vector<uint64_t> ne;  // innermost first
    uint32_t type = 0;
    uint64_t bytes = 0;
    uint64_t offset_error = 0;  // added to the right offset
  };
  std::string magic = "GGUF";
  uint32_t version = 3;
  uint64_t extra_keys = 0, extra_tensors = 0;  // claimed, not there
  uint64_t alignment = 32;
  size_t missing_bytes = 0;  // cut off at the end
  std::vector<Key> keys;
  std::vector<Tensor> tensors;

  static std::string text(const std::string& value) { return little<uint64_t>(value.size()) + value; }
  static std::string array(uint32_t type, uint64_t count, const std::string& elements) {
    return little(type) + little(count) + elements;
  }
  static std::string texts(const std::vector<std::string>& values) {
    std::string elements;
    for (const std::string& value : values) elements += text(value);
    return array(8, values.size(), elements);
  }
  void u32(const std::string& name, uint32_t value) { set(name, 4, little(value)); }
  void f32(const std::string& name, float value) { set(name, 6, little(value)); }
  void string(const std::string& name, const std::string& value) { set(name, 8, text(value)); }
  void set(const std::string& name, uint32_t type, const std::string& value) {
    for (Key& key : keys) {
      if (key.name == name) {
        key = {name, type, value};
        return;
      }
    }
    keys.push_back({name, type, value});
  }
  void remove(const std::string& name) {
    std::erase_if(keys, [&](const Key& key) { return key.name == name; });
  }
  std::string build() const {
    std::string out = magic + little(version) + little<uint64_t>(tensors.size() + extra_tensors) +
                      little<uint64_t>(keys.size() + extra_keys);
    for (const Key& key : keys) out += text(key.name) + little(key.type) + key.value;
    uint64_t offset = 0;
    auto align = [&](uint64_t value) { return (value + alignment - 1) / alignment * alignment; };
    for (const Tensor& tensor : tensors) {
      out += text(tensor.name) + little<uint32_t>(static_cast<uint32_t>(tensor.ne.size()));
      for (uint64_t size : tensor.ne) out += little(size);
      out += little(tensor.type) + little<uint64_t>(offset + tensor.offset_error);
      offset = align(offset + tensor.bytes);
    }
    out.resize(align(out.size()) + offset, 'd');
    out.resize(out.size() - missing_bytes);
    return out;
  }
};

/// A text file with the smallest model there can be: 8 tokens, one layer, untied.
inline GgufBuilder good_text_gguf() {
  GgufBuilder g;
  g.string("general.architecture", "qwen3vl");
  g.u32("qwen3vl.block_count", 2);
  g.u32("qwen3vl.context_length", 128);
  g.u32("qwen3vl.embedding_length", 8);
  g.u32("qwen3vl.feed_forward_length", 32);
  g.u32("qwen3vl.attention.head_count", 4);
  g.u32("qwen3vl.attention.head_count_kv", 2);
  g.u32("qwen3vl.attention.key_length", 8);
  g.u32("qwen3vl.attention.value_length", 8);
  g.f32("qwen3vl.attention.layer_norm_rms_epsilon", 1e-6f);
  g.f32("qwen3vl.rope.freq_base", 5e6f);
  g.set("qwen3vl.rope.dimension_sections", 9,
        GgufBuilder::array(5, 4, little(2) + little(1) + little(1) + little(0)));
  g.u32("qwen3vl.n_deepstack_layers", 1);
  g.string("tokenizer.ggml.model", "gpt2");
  g.string("tokenizer.ggml.pre", "qwen2");
  g.set("tokenizer.ggml.tokens", 9,
        GgufBuilder::texts({"a", "b", "<|endoftext|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
                            "<|image_pad|>", "<|video_pad|>"}));
  std::string types;
  for (int i = 0; i < 8; ++i) types += little(i < 2 ? 1 : 3);
  g.set("tokenizer.ggml.token_type", 9, GgufBuilder::array(5, 8, types));
  g.set("tokenizer.ggml.merges", 9, GgufBuilder::texts({"a b"}));
  g.u32("tokenizer.ggml.eos_token_id", 3);
  g.tensors = {{"token_embd.weight", {8, 8}, 0, 256},
               {"output.weight", {8, 8}, 1, 128},
               {"blk.0.ffn_down.weight", {32, 8}, 8, 272},
               {"blk.1.attn_q.weight", {8, 32}, 30, 512},
               {"output_norm.weight", {8}, 0, 32}};
  return g;
}

/// The vision file that goes with good_text_gguf().
inline GgufBuilder good_vision_gguf() {
  GgufBuilder g;
  g.string("general.architecture", "clip");
  g.set("clip.has_vision_encoder", 7, std::string(1, '\1'));
  g.string("clip.projector_type", "qwen3vl_merger");
  g.u32("clip.vision.projection_dim", 8);
  g.u32("clip.vision.patch_size", 16);
  g.u32("clip.vision.embedding_length", 16);
  g.u32("clip.vision.feed_forward_length", 24);
  g.u32("clip.vision.block_count", 3);
  g.u32("clip.vision.attention.head_count", 2);
  g.f32("clip.vision.attention.layer_norm_epsilon", 1e-6f);
  g.u32("clip.vision.spatial_merge_size", 2);
  g.set("clip.vision.image_mean", 9, GgufBuilder::array(6, 3, little(0.5f) + little(0.25f) + little(0.5f)));
  g.set("clip.vision.is_deepstack_layers", 9, GgufBuilder::array(7, 3, std::string("\0\1\0", 3)));
  g.tensors = {{"v.patch_embd.weight", {16, 16, 3, 16}, 1, 24576},
               {"v.patch_embd.weight.1", {16, 16, 3, 16}, 1, 24576},
               {"v.position_embd.weight", {16, 9}, 0, 576},
               {"v.blk.2.attn_out.bias", {16}, 0, 64},
               {"v.deepstack.1.fc2.weight", {64, 8}, 0, 2048},
               {"v.post_ln.bias", {16}, 0, 64},
               {"mm.2.bias", {8}, 0, 32}};
  return g;
}

}  // namespace qvl::testing_files
