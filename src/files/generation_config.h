// generation_config.json: how answers are sampled and where they end.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "files/model_config.h"

namespace qvl {

/// What stands where the file says nothing of it.
struct GenerationFallback {
  int64_t vocab_size = 0;
  std::vector<int64_t> eos_token_ids;
};

/// The sampling defaults published with Qwen3-VL-Instruct.
GenerationConfig published_generation(const GenerationFallback& fallback);

/// Reads FOLDER/generation_config.json; without the file, published_generation(). Throws Error{model_file}
/// naming key and allowed range.
GenerationConfig read_generation_config(const std::filesystem::path& folder,
                                        const GenerationFallback& fallback);
/// The same of its text, under a name for messages.
GenerationConfig parse_generation_config(std::string_view text, const std::string& name,
                                         const GenerationFallback& fallback);

}  // namespace qvl
