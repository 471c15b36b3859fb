#include "files/gguf_model.h"

#include "base/error.h"
#include "files/generation_config.h"
#include "files/gguf_config.h"
#include "files/gguf_file.h"
#include "files/gguf_names.h"
#include "files/preprocessor_config.h"
#include "files/tensor_table.h"

namespace qvl {
namespace {

namespace fs = std::filesystem;

// Adds all tensors of a file under the names `rename` gives them.
template <typename Rename>
void add_tensors(TensorTable& table, GgufFile file, Rename rename) {
  for (GgufTensor& tensor : file.tensors) {
    std::string name = rename(tensor.name);
    if (!table.add(name, std::move(tensor.view))) {
      fail(ErrorCode::model_file, "{}: tensor \"{}\": another tensor has its place \"{}\"",
           file.metadata.file(), tensor.name, name);
    }
  }
  table.keep(std::move(file.file));
}

// Mean and deviation are 3 numbers for 3 channels.
std::vector<double> read_channels(const GgufMetadata& metadata, std::string_view key, double min) {
  if (!metadata.has(key)) return {0.5, 0.5, 0.5};
  std::vector<double> values = metadata.numbers(key, 3);
  bool good = values.size() == 3;
  for (double value : values) good = good && value >= min && value <= 1.0;
  if (!good) metadata.refuse(key, fmt::format("expected 3 numbers from {:g} to 1", min));
  return values;
}

void check_deepstack_count(const GgufMetadata& text, const VisionConfig& vision) {
  constexpr std::string_view key = "qwen3vl.n_deepstack_layers";
  if (!text.has(key)) return;
  auto count = static_cast<int64_t>(vision.deepstack_visual_indexes.size());
  int64_t found = text.integer(key, {0, allowed::layers.max});
  if (found != count) {
    text.refuse(key, fmt::format("found {}, but the vision file has {} deepstack layers", found, count));
  }
}

void read_preprocessors(const GgufMetadata& metadata, ModelFiles& files) {
  const VisionConfig& vision = files.config.vision;
  files.image_preprocessor = published_preprocessor(MediaKind::image, vision);
  files.video_preprocessor = published_preprocessor(MediaKind::video, vision);
  for (PreprocessorConfig* config : {&files.image_preprocessor, &files.video_preprocessor}) {
    config->image_mean = read_channels(metadata, "clip.vision.image_mean", 0.0);
    config->image_std = read_channels(metadata, "clip.vision.image_std", 0.001);
  }
}

}  // namespace

ModelFiles open_gguf_model(const fs::path& text_file, const std::optional<fs::path>& vision_file) {
  GgufFile text = read_gguf(text_file);
  check_text_file(text);
  ModelFiles files;
  auto table = std::make_unique<TensorTable>();
  files.gguf_tokenizer = read_gguf_tokenizer(text.metadata);
  const GgufTokenizer& tokenizer = *files.gguf_tokenizer;
  files.config.text = read_gguf_text(text, tokenizer);
  files.config.tokens = find_special_tokens(tokenizer, text.metadata.file());
  files.config.has_vision = vision_file.has_value();
  files.generation = published_generation(
      {.vocab_size = files.config.text.vocab_size, .eos_token_ids = read_gguf_eos(text.metadata, tokenizer)});
  if (vision_file) {
    GgufFile vision = read_gguf(*vision_file);
    check_vision_file(vision);
    files.config.vision = read_gguf_vision(vision, files.config.text);
    check_deepstack_count(text.metadata, files.config.vision);
    read_preprocessors(vision.metadata, files);
    const auto& deepstack = files.config.vision.deepstack_visual_indexes;
    add_tensors(*table, std::move(vision),
                [&](const std::string& name) { return vision_tensor_name(name, deepstack); });
  }
  add_tensors(*table, std::move(text), text_tensor_name);
  files.tensors = std::move(table);
  return files;
}

}  // namespace qvl
