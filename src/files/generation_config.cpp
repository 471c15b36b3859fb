#include "files/generation_config.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace qvl {
namespace {

constexpr uint64_t max_file_bytes = 1 << 20;
constexpr size_t max_eos_tokens = 64;
constexpr int64_t published_eos[] = {151645, 151643};  // <|im_end|>, <|endoftext|>

std::vector<int64_t> eos_or_published(const GenerationFallback& fallback) {
  if (!fallback.eos_token_ids.empty()) return fallback.eos_token_ids;
  std::vector<int64_t> ids;
  for (int64_t id : published_eos) {
    if (id < fallback.vocab_size) ids.push_back(id);
  }
  return ids;
}

std::vector<int64_t> read_eos(const JsonObject& root, int64_t vocab_size) {
  const Json& value = root.at("eos_token_id");
  if (!value.is_array()) return {root.integer("eos_token_id", 0, vocab_size - 1)};
  std::vector<int64_t> ids;
  bool good = !value.empty() && value.size() <= max_eos_tokens;
  for (size_t i = 0; good && i < value.size(); ++i) {
    good = value[i].is_number_integer() && value[i] >= 0 && value[i] < vocab_size;
    if (good) ids.push_back(value[i].get<int64_t>());
  }
  if (!good) {
    root.refuse("eos_token_id",
                fmt::format("expected 1 to {} integers from 0 to {}", max_eos_tokens, vocab_size - 1));
  }
  return ids;
}

}  // namespace

GenerationConfig published_generation(const GenerationFallback& fallback) {
  return {.do_sample = true,
          .temperature = 0.7,
          .top_k = 20,
          .top_p = 0.8,
          .repetition_penalty = 1.0,
          .eos_token_ids = eos_or_published(fallback)};
}

GenerationConfig read_generation_config(const std::filesystem::path& folder,
                                        const GenerationFallback& fallback) {
  std::filesystem::path path = folder / "generation_config.json";
  std::error_code ignored;
  if (!std::filesystem::exists(std::filesystem::symlink_status(path, ignored)))
    return published_generation(fallback);
  return parse_generation_config(read_file(path, max_file_bytes, ErrorCode::model_file), path.string(),
                                 fallback);
}

GenerationConfig parse_generation_config(std::string_view text, const std::string& name,
                                         const GenerationFallback& fallback) {
  JsonSource source{.name = name};
  Json document = parse_json(text, source);
  const EmptiedAtEnd document_end(document);
  JsonObject root(document, source);
  // What the file leaves out has the value transformers gives it.
  GenerationConfig config{.do_sample = root.boolean_or("do_sample", false),
                          .temperature = root.number_or("temperature", 1.0, 0.0, 100.0),
                          .top_k = root.integer_or("top_k", 50, 0, 1 << 22),
                          .top_p = root.number_or("top_p", 1.0, 0.0, 1.0),
                          .repetition_penalty = root.number_or("repetition_penalty", 1.0, 0.01, 100.0),
                          .eos_token_ids = {}};
  config.eos_token_ids =
      root.has("eos_token_id") ? read_eos(root, fallback.vocab_size) : eos_or_published(fallback);
  return config;
}

}  // namespace qvl
