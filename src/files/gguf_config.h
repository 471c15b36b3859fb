// The metadata of GGUF files as ModelConfig: text from the text file, vision from the vision file.
#pragma once

#include <string>
#include <vector>

#include "files/gguf_file.h"
#include "files/model_config.h"
#include "files/model_files.h"

namespace qvl {

/// Refuses anything but a whole text file of architecture qwen3vl, naming what it is.
void check_text_file(const GgufFile& file);
/// Refuses anything but a vision file for Qwen3-VL, naming what it is.
void check_vision_file(const GgufFile& file);

/// Tokens, their types and merges; counts checked, contents only as UTF-8.
GgufTokenizer read_gguf_tokenizer(const GgufMetadata& metadata);

/// Dimensions of the text model; the vocabulary is as large as the tokenizer's.
TextConfig read_gguf_text(const GgufFile& file, const GgufTokenizer& tokenizer);
/// Dimensions of the vision tower, checked against those of the text model.
VisionConfig read_gguf_vision(const GgufFile& file, const TextConfig& text);
/// Ids of the tokens around pictures, looked up by their text.
SpecialTokens find_special_tokens(const GgufTokenizer& tokenizer, const std::string& file);
/// The tokens that end an answer.
std::vector<int64_t> read_gguf_eos(const GgufMetadata& metadata, const GgufTokenizer& tokenizer);

}  // namespace qvl
