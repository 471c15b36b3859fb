// inspect(): every check of the loader, with its refusal as a line instead of an end.
#include <map>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "pipeline/memory_guard.h"
#include "pipeline/runtime.h"
#include "pipeline/tokenizer_files.h"
#include "qvl/qvl.h"

namespace qvl {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

template <typename Value>
void add(Fields& fields, std::string name, const Value& value) {
  fields.emplace_back(std::move(name), fmt::format("{}", value));
}

void add_text(Fields& fields, const TextConfig& text) {
  add(fields, "text.hidden_size", text.hidden_size);
  add(fields, "text.intermediate_size", text.intermediate_size);
  add(fields, "text.num_hidden_layers", text.num_hidden_layers);
  add(fields, "text.num_attention_heads", text.num_attention_heads);
  add(fields, "text.num_key_value_heads", text.num_key_value_heads);
  add(fields, "text.head_dim", text.head_dim);
  add(fields, "text.vocab_size", text.vocab_size);
  add(fields, "text.max_position_embeddings", text.max_position_embeddings);
  add(fields, "text.rms_norm_eps", text.rms_norm_eps);
  add(fields, "text.rope_theta", text.rope_theta);
  add(fields, "text.mrope_section", fmt::format("{}", fmt::join(text.mrope_section, ",")));
  add(fields, "text.tie_word_embeddings", text.tie_word_embeddings);
}

void add_vision(Fields& fields, const VisionConfig& vision) {
  add(fields, "vision.hidden_size", vision.hidden_size);
  add(fields, "vision.intermediate_size", vision.intermediate_size);
  add(fields, "vision.depth", vision.depth);
  add(fields, "vision.num_heads", vision.num_heads);
  add(fields, "vision.out_hidden_size", vision.out_hidden_size);
  add(fields, "vision.patch_size", vision.patch_size);
  add(fields, "vision.temporal_patch_size", vision.temporal_patch_size);
  add(fields, "vision.spatial_merge_size", vision.spatial_merge_size);
  add(fields, "vision.num_position_embeddings", vision.num_position_embeddings);
  add(fields, "vision.deepstack_visual_indexes",
      fmt::format("{}", fmt::join(vision.deepstack_visual_indexes, ",")));
}

void add_processing(Fields& fields, const ModelFiles& files) {
  add(fields, "image.min_pixels", files.image_preprocessor.min_pixels);
  add(fields, "image.max_pixels", files.image_preprocessor.max_pixels);
  add(fields, "video.min_pixels", files.video_preprocessor.min_pixels);
  add(fields, "video.max_pixels", files.video_preprocessor.max_pixels);
  add(fields, "video.fps", files.video_preprocessor.fps);
  add(fields, "video.min_frames", files.video_preprocessor.min_frames);
  add(fields, "video.max_frames", files.video_preprocessor.max_frames);
}

void add_generation(Fields& fields, const GenerationConfig& generation) {
  add(fields, "generation.do_sample", generation.do_sample);
  add(fields, "generation.temperature", generation.temperature);
  add(fields, "generation.top_k", generation.top_k);
  add(fields, "generation.top_p", generation.top_p);
  add(fields, "generation.repetition_penalty", generation.repetition_penalty);
  add(fields, "generation.eos_token_ids", fmt::format("{}", fmt::join(generation.eos_token_ids, ",")));
}

std::string_view part_of(std::string_view name) {
  if (name.starts_with("model.visual.")) return "vision";
  if (name == "lm_head.weight") return "head";
  if (name == "model.language_model.embed_tokens.weight") return "embedding";
  return name.starts_with("model.language_model.") ? "text" : "other";
}

void add_tensors(Inspection& inspection, const TensorSource& source) {
  std::map<std::string_view, uint64_t> parts;
  for (std::string& name : source.names()) {
    const TensorView* tensor = source.find(name);
    QVL_CHECK(tensor != nullptr);
    parts[part_of(name)] += tensor->bytes.size();
    inspection.tensors.push_back({.name = std::move(name),
                                  .dtype = std::string(info(tensor->dtype).name),
                                  .shape = tensor->shape,
                                  .bytes = tensor->bytes.size()});
  }
  for (const auto& [part, bytes] : parts) inspection.bytes_by_part.emplace_back(part, bytes);
}

// Runs one check of the loader; what it refuses becomes a line of the inspection.
template <typename Check>
void collect(Inspection& inspection, Check&& check) {
  try {
    check();
  } catch (const Error& error) {
    inspection.refusals.emplace_back(error.what());
  }
}

void inspect_files(Inspection& inspection, const ModelFiles& files, const std::filesystem::path& path) {
  add_text(inspection.configuration, files.config.text);
  add(inspection.configuration, "vision", files.config.has_vision);
  if (files.config.has_vision) {
    add_vision(inspection.configuration, files.config.vision);
    add_processing(inspection.configuration, files);
  }
  add_generation(inspection.configuration, files.generation);
  inspection.warnings = files.warnings;
  add_tensors(inspection, *files.tensors);
  collect(inspection, [&] {
    const auto tokenizer = read_tokenizer(files, path);
    add(inspection.configuration, "tokenizer.vocabulary_size", tokenizer->vocabulary_size());
    check_parts_fit(files, tokenizer.get(), path.string());
  });
  collect(inspection, [&] {
    const Qwen3Vl network(files.config, *files.tensors, ModelForms{});
    inspection.warnings.insert(inspection.warnings.end(), network.warnings().begin(),
                               network.warnings().end());
  });
}

}  // namespace

Inspection inspect(const std::filesystem::path& path, const std::optional<std::filesystem::path>& mmproj) {
  return with_memory_for("to inspect the model", [&] {
    std::error_code error;
    if (!std::filesystem::exists(path, error)) {
      fail(ErrorCode::model_file, "{}: no such file or folder", path_name(path));
    }
    Inspection inspection;
    collect(inspection, [&] { inspect_files(inspection, open_model_files(path, mmproj), path); });
    return inspection;
  });
}

}  // namespace qvl
