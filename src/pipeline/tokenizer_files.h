// The tokenizer of a checkpoint, from whichever file it lies in.
#pragma once

#include <filesystem>
#include <memory>

#include "files/model_files.h"
#include "tokenizer/tokenizer.h"

namespace qvl {

/// What a GGUF file says of its tokenizer, as a spec. Throws Error{model_file} for another kind of tokenizer;
/// `name` begins the message.
TokenizerSpec tokenizer_spec(const GgufTokenizer& gguf, std::string_view name);

/// The tokenizer of opened model files; `path` is what was opened. Null for a checkpoint in
/// memory that came without one.
std::shared_ptr<const Tokenizer> read_tokenizer(const ModelFiles& files, const std::filesystem::path& path);

/// The tokenizer of a folder, or of a GGUF file. Needs no weights in a folder.
std::shared_ptr<const Tokenizer> read_tokenizer(const std::filesystem::path& path);

}  // namespace qvl
