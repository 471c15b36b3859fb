#include "files/memory_checkpoint.h"

#include <array>
#include <utility>

#include "base/checked.h"
#include "base/error.h"
#include "files/generation_config.h"
#include "files/json_config.h"
#include "files/preprocessor_config.h"
#include "files/tensor_table.h"

namespace qvl {
namespace {

constexpr std::array<std::pair<std::string_view, DType>, 3> kTypes = {
    {{"F32", DType::f32}, {"F16", DType::f16}, {"BF16", DType::bf16}}};

DType type_of(const TensorInMemory& tensor, const std::string& subject) {
  for (const auto& [name, dtype] : kTypes) {
    if (tensor.dtype == name) return dtype;
  }
  fail(ErrorCode::model_file, "{}: found {}, expected F32, F16 or BF16", subject, printable(tensor.dtype));
}

TensorView view_of(const TensorInMemory& tensor, const std::string& subject) {
  const DType dtype = type_of(tensor, subject);
  const auto elements = checked_product(tensor.shape);
  const auto bytes = elements ? checked_mul(*elements, dtype == DType::f32 ? 4 : 2) : std::nullopt;
  if (bytes != tensor.bytes.size()) {
    fail(ErrorCode::model_file, "{}: found {} bytes for shape {} of {}", subject, tensor.bytes.size(),
         to_string(tensor.shape), tensor.dtype);
  }
  return {.dtype = dtype, .shape = tensor.shape, .bytes = tensor.bytes};
}

std::unique_ptr<TensorSource> table_of(const CheckpointInMemory& checkpoint) {
  auto table = std::make_unique<TensorTable>();
  for (const TensorInMemory& tensor : checkpoint.tensors) {
    const std::string subject = fmt::format("{}: tensor \"{}\"", checkpoint.name, printable(tensor.name));
    if (!table->add(tensor.name, view_of(tensor, subject)))
      fail(ErrorCode::model_file, "{}: given twice", subject);
  }
  table->keep(checkpoint.keep_alive);
  return table;
}

PreprocessorConfig preprocessor_of(const CheckpointInMemory& checkpoint, MediaKind kind,
                                   const VisionConfig& vision) {
  return checkpoint.folder ? read_preprocessor_config(*checkpoint.folder, kind, vision)
                           : published_preprocessor(kind, vision);
}

}  // namespace

ModelFiles open_memory_checkpoint(const CheckpointInMemory& checkpoint) {
  ModelFiles files;
  JsonModelConfig config = parse_model_config(checkpoint.config_json, checkpoint.name + ": config");
  const GenerationFallback fallback{.vocab_size = config.model.text.vocab_size,
                                    .eos_token_ids = config.eos_token_ids};
  files.generation = checkpoint.generation_json.empty()
                         ? published_generation(fallback)
                         : parse_generation_config(checkpoint.generation_json,
                                                   checkpoint.name + ": generation_config", fallback);
  files.image_preprocessor = preprocessor_of(checkpoint, MediaKind::image, config.model.vision);
  files.video_preprocessor = preprocessor_of(checkpoint, MediaKind::video, config.model.vision);
  files.config = std::move(config.model);
  files.tensors = table_of(checkpoint);
  if (checkpoint.folder) files.folder = *checkpoint.folder;
  return files;
}

}  // namespace qvl
