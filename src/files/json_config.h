// config.json as Hugging Face transformers writes it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "files/model_config.h"

namespace qvl {

/// What config.json says.
struct JsonModelConfig {
  ModelConfig model;
  std::vector<int64_t> eos_token_ids;  ///< eos and bos of text_config, as far as they are given
};

/// Reads FOLDER/config.json, or its text under a name for messages. Both written forms are read: rope_theta
/// with rope_scaling (4.57) and rope_parameters (5). Throws Error{model_file} naming key and allowed range,
/// and for other architectures.
JsonModelConfig read_model_config(const std::filesystem::path& folder);
JsonModelConfig parse_model_config(std::string_view text, const std::string& name);

}  // namespace qvl
