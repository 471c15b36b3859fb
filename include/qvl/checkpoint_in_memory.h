// A checkpoint whose tensors another part of the program has in memory: it is run where it lies, without
// files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace qvl {

/// A tensor of the caller, row-major. Its bytes do not change while a model uses them.
struct TensorInMemory {
  std::string name = {};   ///< as in the files of Hugging Face: "model.language_model.embed_tokens.weight"
  std::string dtype = {};  ///< "F32", "F16" or "BF16"
  std::vector<uint64_t> shape = {};
  std::span<const std::byte> bytes = {};  ///< as many as dtype and shape ask for
};

struct CheckpointInMemory {
  std::string name = "model";        ///< for messages
  std::string config_json = {};      ///< what config.json would hold
  std::string generation_json = {};  ///< what generation_config.json would hold; empty: as published
  /// Where the files of tokenizer and preprocessors lie. Without it prompts come as tensors only.
  std::optional<std::filesystem::path> folder = {};
  std::vector<TensorInMemory> tensors = {};
  std::shared_ptr<const void> keep_alive = {};  ///< what owns the bytes; held as long as the model lives
};

}  // namespace qvl
