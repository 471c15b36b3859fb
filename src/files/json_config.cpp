#include "files/json_config.h"

#include <set>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "files/config_checks.h"

namespace qvl {
namespace {

constexpr uint64_t max_config_bytes = 1 << 20;
constexpr std::string_view no_experts = "; mixture-of-experts models are not supported";

int64_t integer(const JsonObject& object, std::string_view key, const IntegerRange& range) {
  return object.integer(key, range.min, range.max);
}

std::vector<int64_t> integers(const JsonObject& object, std::string_view key, const IntegerRange& range) {
  const Json& list = object.at(key);
  std::vector<int64_t> result;
  bool good = list.is_array() && list.size() <= 1024;
  for (size_t i = 0; good && i < list.size(); ++i) {
    good = list[i].is_number_integer() && list[i] >= range.min && list[i] <= range.max;
    if (good) result.push_back(list[i].get<int64_t>());
  }
  if (!good)
    object.refuse(key, fmt::format("expected a list of integers from {} to {}", range.min, range.max));
  return result;
}

void expect_string(const JsonObject& object, std::string_view key, std::string_view expected) {
  std::string found = object.string_or(key, expected);
  if (found != expected) {
    object.refuse(key, fmt::format("found \"{}\", expected \"{}\"", printable(found, 60), expected));
  }
}

void check_architecture(const JsonObject& root) {
  constexpr std::string_view expected = "Qwen3VLForConditionalGeneration";
  if (root.has("architectures")) {
    const Json& list = root.at("architectures");
    bool good = list.is_array() && list.size() == 1 && list[0].is_string();
    if (!good) root.refuse("architectures", fmt::format("expected [\"{}\"]", expected));
    std::string found = list[0].get<std::string>();
    if (found != expected) {
      root.refuse("architectures",
                  fmt::format("found \"{}\", expected \"{}\"{}", printable(found, 60), expected,
                              found == "Qwen3VLMoeForConditionalGeneration" ? no_experts : ""));
    }
  }
  std::string type = root.string("model_type");
  if (type != "qwen3_vl") {
    root.refuse("model_type", fmt::format("found \"{}\", expected \"qwen3_vl\"{}", printable(type, 60),
                                          type == "qwen3_vl_moe" ? no_experts : ""));
  }
  if (root.has("quantization_config")) {
    root.refuse("quantization_config",
                "quantised safetensors are not supported, expected BF16, F16 or F32 weights");
  }
}

// rope_parameters holds all in one; before, theta stood beside rope_scaling.
void read_rope(const JsonObject& text, TextConfig& config) {
  bool in_one = text.has("rope_parameters");
  bool scaled = text.has("rope_scaling");
  config.mrope_section = {24, 20, 20};
  if (!in_one) config.rope_theta = text.number("rope_theta", allowed::min_theta, allowed::max_theta);
  if (!in_one && !scaled) return;
  JsonObject rope = text.object(in_one ? "rope_parameters" : "rope_scaling");
  if (in_one) config.rope_theta = rope.number("rope_theta", allowed::min_theta, allowed::max_theta);
  expect_string(rope, "rope_type", "default");
  expect_string(rope, "type", "default");
  if (!rope.boolean_or("mrope_interleaved", true)) {
    rope.refuse("mrope_interleaved", "found false, expected true");
  }
  if (rope.has("mrope_section")) config.mrope_section = integers(rope, "mrope_section", allowed::section);
}

bool read_tie(const JsonObject& root, const JsonObject& text) {
  if (!root.has("tie_word_embeddings") && !text.has("tie_word_embeddings")) {
    root.refuse("tie_word_embeddings", "missing");
  }
  return root.boolean_or("tie_word_embeddings", text.boolean_or("tie_word_embeddings", false));
}

TextConfig read_text(const JsonObject& root) {
  JsonObject text = root.object("text_config");
  expect_string(text, "model_type", "qwen3_vl_text");
  expect_string(text, "hidden_act", "silu");
  if (text.boolean_or("attention_bias", false)) text.refuse("attention_bias", "found true, expected false");
  TextConfig config;
  config.hidden_size = integer(text, "hidden_size", allowed::width);
  config.intermediate_size = integer(text, "intermediate_size", allowed::intermediate_size);
  config.num_hidden_layers = integer(text, "num_hidden_layers", allowed::layers);
  config.num_attention_heads = integer(text, "num_attention_heads", allowed::heads);
  config.num_key_value_heads = integer(text, "num_key_value_heads", allowed::heads);
  config.head_dim = integer(text, "head_dim", allowed::head_dim);
  config.vocab_size = integer(text, "vocab_size", allowed::vocab_size);
  config.max_position_embeddings = integer(text, "max_position_embeddings", allowed::positions);
  config.rms_norm_eps = text.number("rms_norm_eps", allowed::min_eps, allowed::max_eps);
  config.tie_word_embeddings = read_tie(root, text);
  read_rope(text, config);
  return config;
}

VisionConfig read_vision(const JsonObject& root) {
  JsonObject vision = root.object("vision_config");
  std::string type = vision.string_or("model_type", "qwen3_vl");
  if (type != "qwen3_vl" && type != "qwen3_vl_vision") {
    vision.refuse("model_type", fmt::format("found \"{}\", expected \"qwen3_vl\" or \"qwen3_vl_vision\"",
                                            printable(type, 60)));
  }
  expect_string(vision, "hidden_act", "gelu_pytorch_tanh");
  VisionConfig config;
  config.hidden_size = integer(vision, "hidden_size", allowed::width);
  config.intermediate_size = integer(vision, "intermediate_size", allowed::intermediate_size);
  config.depth = integer(vision, "depth", allowed::layers);
  config.num_heads = integer(vision, "num_heads", allowed::heads);
  config.out_hidden_size = integer(vision, "out_hidden_size", allowed::width);
  config.in_channels = integer(vision, "in_channels", allowed::in_channels);
  config.patch_size = integer(vision, "patch_size", allowed::patch_size);
  config.temporal_patch_size = integer(vision, "temporal_patch_size", allowed::temporal_patch_size);
  config.spatial_merge_size = integer(vision, "spatial_merge_size", allowed::merge_size);
  config.num_position_embeddings = integer(vision, "num_position_embeddings", allowed::position_embeddings);
  config.deepstack_visual_indexes =
      integers(vision, "deepstack_visual_indexes", {.min = 0, .max = config.depth - 1});
  return config;
}

SpecialTokens read_tokens(const JsonObject& root, int64_t vocab_size) {
  SpecialTokens tokens;
  std::set<int64_t> seen;
  auto read = [&](std::string_view key) {
    int64_t id = root.integer(key, 0, vocab_size - 1);
    if (!seen.insert(id).second)
      root.refuse(key, fmt::format("found {}, which is another special token", id));
    return id;
  };
  tokens.image = read("image_token_id");
  tokens.video = read("video_token_id");
  tokens.vision_start = read("vision_start_token_id");
  tokens.vision_end = read("vision_end_token_id");
  return tokens;
}

TextKeys text_keys(const std::string& file, const JsonObject& root) {
  bool in_one = root.object("text_config").has("rope_parameters");
  return {.file = file,
          .num_attention_heads = "text_config.num_attention_heads",
          .num_key_value_heads = "text_config.num_key_value_heads",
          .head_dim = "text_config.head_dim",
          .mrope_section = in_one ? "text_config.rope_parameters.mrope_section"
                                  : "text_config.rope_scaling.mrope_section"};
}

VisionKeys vision_keys(const std::string& file) {
  return {.file = file,
          .hidden_size = "vision_config.hidden_size",
          .num_heads = "vision_config.num_heads",
          .out_hidden_size = "vision_config.out_hidden_size",
          .num_position_embeddings = "vision_config.num_position_embeddings",
          .deepstack_visual_indexes = "vision_config.deepstack_visual_indexes"};
}

}  // namespace

JsonModelConfig read_model_config(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "config.json";
  return parse_model_config(read_file(path, max_config_bytes, ErrorCode::model_file), path.string());
}

JsonModelConfig parse_model_config(std::string_view text_of_file, const std::string& name) {
  JsonSource source{.name = name};
  Json document = parse_json(text_of_file, source);
  const EmptiedAtEnd document_end(document);
  JsonObject root(document, source);
  check_architecture(root);
  JsonModelConfig config;
  config.model.text = read_text(root);
  check_text(config.model.text, text_keys(source.name, root));
  config.model.vision = read_vision(root);
  check_vision(config.model.vision, config.model.text, vision_keys(source.name));
  config.model.tokens = read_tokens(root, config.model.text.vocab_size);
  JsonObject text = root.object("text_config");
  for (std::string_view key : {"eos_token_id", "bos_token_id"}) {
    if (text.has(key)) config.eos_token_ids.push_back(text.integer(key, 0, config.model.text.vocab_size - 1));
  }
  return config;
}

}  // namespace qvl
