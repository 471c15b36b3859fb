// The weights of a Hugging Face folder: model.safetensors, or shards listed by model.safetensors.index.json.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "files/model_files.h"

namespace qvl {

/// Opens all weights of `folder`. Only files inside the folder are opened (or in the blob store beside it,
/// where the Hugging Face cache keeps them). Appends to `warnings`. Throws Error{model_file}.
std::unique_ptr<TensorSource> open_safetensors_folder(const std::filesystem::path& folder,
                                                      std::vector<std::string>& warnings);

}  // namespace qvl
