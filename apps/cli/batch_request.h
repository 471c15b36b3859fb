// One line of a batch: the request it asks for.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "line_reader.h"
#include "qvl/pipeline.h"

namespace qvl::cli {

/// Longest line of a batch.
constexpr size_t kMaxRequestBytes = 1 << 20;

/// Of what a line does not say.
struct BatchDefaults {
  std::filesystem::path folder = {};  ///< relative files begin there
  InferenceRequest request = {};
};

/// What a line asks for, or why it cannot be asked.
struct BatchRequest {
  nlohmann::ordered_json id = nullptr;  ///< a text or an integer of the user's; null: none
  InferenceRequest request = {};
  std::optional<Error> refusal = {};
};

/// Ranges are the pipeline's to check, but that of max_tokens, which has two names here. A refusal has the
/// line's id where that much could be read.
BatchRequest parse_batch_line(const TextLine& line, const BatchDefaults& defaults);

}  // namespace qvl::cli
