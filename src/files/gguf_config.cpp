#include "files/gguf_config.h"

#include <algorithm>
#include <optional>

#include "base/error.h"

namespace qvl {
namespace {

constexpr int64_t max_merges = 1 << 22;
constexpr std::string_view position_table = "v.position_embd.weight";

const TensorView* find_tensor(const GgufFile& file, std::string_view name) {
  auto found = std::find_if(file.tensors.begin(), file.tensors.end(),
                            [&](const auto& tensor) { return tensor.name == name; });
  return found == file.tensors.end() ? nullptr : &found->view;
}

std::optional<int64_t> find_token(const GgufTokenizer& tokenizer, std::string_view text) {
  auto found = std::find(tokenizer.tokens.begin(), tokenizer.tokens.end(), text);
  if (found == tokenizer.tokens.end()) return std::nullopt;
  return found - tokenizer.tokens.begin();
}

void expect_string(const GgufMetadata& metadata, std::string_view key, std::string_view expected) {
  std::string found = metadata.string(key);
  if (found != expected) {
    metadata.refuse(key, fmt::format("found \"{}\", expected \"{}\"", printable(found, 60), expected));
  }
}

// Written with a fourth section that is not used.
std::vector<int64_t> read_sections(const GgufMetadata& metadata) {
  constexpr std::string_view key = "qwen3vl.rope.dimension_sections";
  std::vector<int64_t> sections = metadata.integers(key, allowed::section, 4);
  if (sections.size() == 4) {
    if (sections[3] != 0) metadata.refuse(key, fmt::format("fourth section {}, expected 0", sections[3]));
    sections.pop_back();
  }
  return sections;
}

std::vector<int64_t> read_deepstack(const GgufMetadata& metadata, int64_t depth) {
  constexpr std::string_view key = "clip.vision.is_deepstack_layers";
  std::vector<bool> flags = metadata.booleans(key, allowed::layers.max);
  if (static_cast<int64_t>(flags.size()) != depth) {
    metadata.refuse(key, fmt::format("{} elements, expected {}, one for each block", flags.size(), depth));
  }
  std::vector<int64_t> indexes;
  for (size_t block = 0; block < flags.size(); ++block) {
    if (flags[block]) indexes.push_back(static_cast<int64_t>(block));
  }
  return indexes;
}

// The table has one row for each place; the metadata say nothing of it.
int64_t read_position_embeddings(const GgufFile& file) {
  const TensorView* table = find_tensor(file, position_table);
  std::string subject = fmt::format("{}: tensor \"{}\"", file.metadata.file(), position_table);
  if (table == nullptr) fail(ErrorCode::model_file, "{}: missing", subject);
  auto most = static_cast<uint64_t>(allowed::position_embeddings.max);
  if (table->shape.size() != 2 || table->shape[0] > most) {
    fail(ErrorCode::model_file, "{}: shape {}, expected 1 to {} rows of the embedding length", subject,
         to_string(table->shape), most);
  }
  return static_cast<int64_t>(table->shape[0]);
}

}  // namespace

void check_text_file(const GgufFile& file) {
  const GgufMetadata& metadata = file.metadata;
  constexpr std::string_view key = "general.architecture";
  std::string architecture = metadata.string(key);
  if (architecture == "clip") {
    metadata.refuse(
        key, "found \"clip\", a vision file (mmproj); expected the text file of architecture \"qwen3vl\"");
  }
  if (architecture == "qwen3vlmoe") {
    metadata.refuse(
        key, "found \"qwen3vlmoe\", expected \"qwen3vl\"; mixture-of-experts models are not supported");
  }
  expect_string(metadata, key, "qwen3vl");
  if (metadata.has("split.count") && metadata.integer("split.count", {0, 65535}) > 1) {
    metadata.refuse("split.count", "split GGUF files are not supported, expected one file: merge the parts");
  }
  if (metadata.has("qwen3vl.rope.scaling.type")) expect_string(metadata, "qwen3vl.rope.scaling.type", "none");
  for (const GgufTensor& tensor : file.tensors) {
    if (tensor.name.ends_with("attn_qkv.weight")) {
      fail(ErrorCode::model_file,
           "{}: tensor \"{}\": fused attention weights are not supported, expected attn_q, attn_k and attn_v",
           metadata.file(), tensor.name);
    }
  }
}

void check_vision_file(const GgufFile& file) {
  const GgufMetadata& metadata = file.metadata;
  constexpr std::string_view key = "general.architecture";
  std::string architecture = metadata.string(key);
  if (architecture != "clip") {
    metadata.refuse(key, fmt::format("found \"{}\", expected \"clip\": no vision file (mmproj)",
                                     printable(architecture, 60)));
  }
  if (!metadata.boolean("clip.has_vision_encoder"))
    metadata.refuse("clip.has_vision_encoder", "found false, expected true");
  // Files for pictures and sound keep one type for each.
  bool per_kind = !metadata.has("clip.projector_type") && metadata.has("clip.vision.projector_type");
  expect_string(metadata, per_kind ? "clip.vision.projector_type" : "clip.projector_type", "qwen3vl_merger");
}

GgufTokenizer read_gguf_tokenizer(const GgufMetadata& metadata) {
  constexpr std::string_view types_key = "tokenizer.ggml.token_type";
  GgufTokenizer tokenizer;
  tokenizer.model = metadata.string("tokenizer.ggml.model");
  tokenizer.pre = metadata.string("tokenizer.ggml.pre");
  tokenizer.tokens = metadata.strings("tokenizer.ggml.tokens", allowed::vocab_size.max);
  if (tokenizer.tokens.empty()) metadata.refuse("tokenizer.ggml.tokens", "is empty");
  for (int64_t type : metadata.integers(types_key, {0, 255}, allowed::vocab_size.max)) {
    tokenizer.types.push_back(static_cast<int32_t>(type));
  }
  if (tokenizer.types.size() != tokenizer.tokens.size()) {
    metadata.refuse(types_key, fmt::format("{} elements, expected {}, one for each token",
                                           tokenizer.types.size(), tokenizer.tokens.size()));
  }
  tokenizer.merges = metadata.strings("tokenizer.ggml.merges", max_merges);
  return tokenizer;
}

TextConfig read_gguf_text(const GgufFile& file, const GgufTokenizer& tokenizer) {
  const GgufMetadata& metadata = file.metadata;
  TextConfig text;
  text.hidden_size = metadata.integer("qwen3vl.embedding_length", allowed::width);
  text.intermediate_size = metadata.integer("qwen3vl.feed_forward_length", allowed::intermediate_size);
  text.num_hidden_layers = metadata.integer("qwen3vl.block_count", allowed::layers);
  text.num_attention_heads = metadata.integer("qwen3vl.attention.head_count", allowed::heads);
  text.num_key_value_heads = metadata.integer("qwen3vl.attention.head_count_kv", allowed::heads);
  text.head_dim = metadata.integer("qwen3vl.attention.key_length", allowed::head_dim);
  text.vocab_size = static_cast<int64_t>(tokenizer.tokens.size());
  text.max_position_embeddings = metadata.integer("qwen3vl.context_length", allowed::positions);
  text.rms_norm_eps =
      metadata.number("qwen3vl.attention.layer_norm_rms_epsilon", allowed::min_eps, allowed::max_eps);
  text.rope_theta = metadata.number("qwen3vl.rope.freq_base", allowed::min_theta, allowed::max_theta);
  text.mrope_section = read_sections(metadata);
  text.tie_word_embeddings = find_tensor(file, "output.weight") == nullptr;
  check_text(text, {.file = metadata.file(),
                    .num_attention_heads = "qwen3vl.attention.head_count",
                    .num_key_value_heads = "qwen3vl.attention.head_count_kv",
                    .head_dim = "qwen3vl.attention.key_length",
                    .mrope_section = "qwen3vl.rope.dimension_sections"});
  for (std::string_view key : {"qwen3vl.attention.value_length", "qwen3vl.rope.dimension_count"}) {
    if (metadata.has(key)) metadata.integer(key, {text.head_dim, text.head_dim});
  }
  return text;
}

VisionConfig read_gguf_vision(const GgufFile& file, const TextConfig& text) {
  const GgufMetadata& metadata = file.metadata;
  VisionConfig vision;
  vision.hidden_size = metadata.integer("clip.vision.embedding_length", allowed::width);
  vision.intermediate_size = metadata.integer("clip.vision.feed_forward_length", allowed::intermediate_size);
  vision.depth = metadata.integer("clip.vision.block_count", allowed::layers);
  vision.num_heads = metadata.integer("clip.vision.attention.head_count", allowed::heads);
  vision.out_hidden_size = metadata.integer("clip.vision.projection_dim", allowed::width);
  vision.patch_size = metadata.integer("clip.vision.patch_size", allowed::patch_size);
  vision.spatial_merge_size = metadata.integer("clip.vision.spatial_merge_size", allowed::merge_size);
  vision.layer_norm_eps =
      metadata.number("clip.vision.attention.layer_norm_epsilon", allowed::min_eps, allowed::max_eps);
  vision.num_position_embeddings = read_position_embeddings(file);
  vision.deepstack_visual_indexes = read_deepstack(metadata, vision.depth);
  check_vision(vision, text,
               {.file = metadata.file(),
                .hidden_size = "clip.vision.embedding_length",
                .num_heads = "clip.vision.attention.head_count",
                .out_hidden_size = "clip.vision.projection_dim",
                .num_position_embeddings = fmt::format("rows of tensor \"{}\"", position_table),
                .deepstack_visual_indexes = "clip.vision.is_deepstack_layers"});
  return vision;
}

SpecialTokens find_special_tokens(const GgufTokenizer& tokenizer, const std::string& file) {
  auto find = [&](std::string_view text) {
    auto id = find_token(tokenizer, text);
    if (!id) fail(ErrorCode::model_file, "{}: tokenizer.ggml.tokens: \"{}\" is missing", file, text);
    return *id;
  };
  return {.image = find("<|image_pad|>"),
          .video = find("<|video_pad|>"),
          .vision_start = find("<|vision_start|>"),
          .vision_end = find("<|vision_end|>")};
}

std::vector<int64_t> read_gguf_eos(const GgufMetadata& metadata, const GgufTokenizer& tokenizer) {
  auto vocab = static_cast<int64_t>(tokenizer.tokens.size());
  std::vector<int64_t> ids = {metadata.integer("tokenizer.ggml.eos_token_id", {0, vocab - 1})};
  auto end_of_text = find_token(tokenizer, "<|endoftext|>");
  if (end_of_text && *end_of_text != ids.front()) ids.push_back(*end_of_text);
  return ids;
}

}  // namespace qvl
