// A GGUF checkpoint: a text file of architecture qwen3vl and, for pictures, its vision file (mmproj).
#pragma once

#include <filesystem>
#include <optional>

#include "files/model_files.h"

namespace qvl {

/// Opens the files under the names and shapes of Hugging Face. Throws Error{model_file}.
ModelFiles open_gguf_model(const std::filesystem::path& text_file,
                           const std::optional<std::filesystem::path>& vision_file);

}  // namespace qvl
