// Opening a checkpoint: a Hugging Face folder or a GGUF file, both under the tensor names of Hugging Face.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "files/model_config.h"
#include "tensor/tensor.h"

namespace qvl {

/// The tensors of a checkpoint by their Hugging Face names ("model.language_model.layers.0...",
/// "lm_head.weight"). The patch embedding of a vision GGUF comes as two tensors,
/// "model.visual.patch_embed.proj.weight.0" and ".1", each [hidden, channels, patch, patch], one per frame of
/// the temporal patch. Immutable, thread-safe.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  /// Null where there is no such tensor. The view lives as long as the source.
  virtual const TensorView* find(std::string_view name) const = 0;
  /// All names, sorted.
  virtual std::vector<std::string> names() const = 0;
  /// Throws Error{model_file} where a file behind the source was changed since it was opened.
  virtual void check_unchanged() const = 0;
  /// Throws Error{model_file} "PATH: changed while in use: ..." where the bytes of a view may be others than
  /// at the start, or gone. Cheap: asked after each step.
  virtual void check_undamaged() const = 0;
  /// Sizes and times of change of the files behind the source: differs where they may differ. Empty where one
  /// of them was changed so lately that another change could bear the same time.
  virtual std::string fingerprint() const = 0;
  /// The bytes of a view will not be read soon: memory that holds them may be given back. They stay readable.
  virtual void release(std::span<const std::byte> bytes) const = 0;
  /// The same for all that the files hold, also what the system read beside the bytes that were used.
  virtual void release_all() const = 0;
};

/// What a GGUF file says of its tokenizer, lengths checked, contents not interpreted.
struct GgufTokenizer {
  std::string model;                ///< tokenizer.ggml.model, "gpt2"
  std::string pre;                  ///< tokenizer.ggml.pre, "qwen2"
  std::vector<std::string> tokens;  ///< byte-mapped strings, by id
  std::vector<int32_t> types;       ///< 1 normal, 3 control, 4 user-defined, 5 unused; as many as tokens
  std::vector<std::string> merges;  ///< "left right"
};

/// Everything read from the files of one checkpoint. Move-only.
struct ModelFiles {
  ModelConfig config;
  GenerationConfig generation;
  PreprocessorConfig image_preprocessor;
  PreprocessorConfig video_preprocessor;
  std::unique_ptr<TensorSource> tensors;
  std::filesystem::path folder;                 ///< where tokenizer files lie; empty for GGUF
  std::optional<GgufTokenizer> gguf_tokenizer;  ///< only for GGUF
  std::vector<std::string> warnings;            ///< one line each: extra tensors, ignored fields
};

/// Opens `path`: a folder in Hugging Face form, or a text GGUF with, for pictures, `mmproj` as its vision
/// file. Maps the weights, checks every number, decodes nothing. Throws Error{model_file}; never allocates
/// more than the files hold.
ModelFiles open_model_files(const std::filesystem::path& path,
                            const std::optional<std::filesystem::path>& mmproj);

}  // namespace qvl
