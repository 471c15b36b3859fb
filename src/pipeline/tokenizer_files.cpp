#include "pipeline/tokenizer_files.h"

#include <system_error>
#include <utility>

#include "base/error.h"

namespace qvl {
namespace {

// Values of tokenizer.ggml.token_type.
constexpr int32_t kControl = 3, kUserDefined = 4, kUnused = 5;

}  // namespace

TokenizerSpec tokenizer_spec(const GgufTokenizer& gguf, std::string_view name) {
  if (gguf.model != "gpt2" || gguf.pre != "qwen2") {
    fail(ErrorCode::model_file,
         "{}: tokenizer.ggml.model, .pre: found \"{}\", \"{}\", expected \"gpt2\", \"qwen2\"", name,
         printable(gguf.model), printable(gguf.pre));
  }
  if (gguf.types.size() != gguf.tokens.size()) {
    fail(ErrorCode::model_file, "{}: tokenizer.ggml.token_type: {} entries for {} tokens", name,
         gguf.types.size(), gguf.tokens.size());
  }
  TokenizerSpec spec;
  spec.source = name;
  spec.vocabulary.resize(gguf.tokens.size());
  for (size_t id = 0; id < gguf.tokens.size(); ++id) {
    const int32_t type = gguf.types[id];
    if (type == kControl || type == kUserDefined) {
      spec.added.push_back(
          {.id = static_cast<TokenId>(id), .content = gguf.tokens[id], .special = type == kControl});
    } else if (type != kUnused) {
      spec.vocabulary[id] = gguf.tokens[id];
    }
  }
  spec.merges.reserve(gguf.merges.size());
  for (size_t rank = 0; rank < gguf.merges.size(); ++rank) {
    const std::string& merge = gguf.merges[rank];
    const size_t space = merge.find(' ');
    if (space == std::string::npos) {
      fail(ErrorCode::model_file, "{}: tokenizer.ggml.merges: entry {}: found \"{}\", expected two pieces",
           name, rank, printable(merge));
    }
    spec.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  return spec;
}

std::shared_ptr<const Tokenizer> read_tokenizer(const ModelFiles& files, const std::filesystem::path& path) {
  if (files.gguf_tokenizer) {
    return std::make_shared<const Tokenizer>(tokenizer_spec(*files.gguf_tokenizer, path.string()));
  }
  if (files.folder.empty()) return nullptr;
  return std::make_shared<const Tokenizer>(read_tokenizer_folder(files.folder));
}

std::shared_ptr<const Tokenizer> read_tokenizer(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    return std::make_shared<const Tokenizer>(read_tokenizer_folder(path));
  }
  return read_tokenizer(open_model_files(path, std::nullopt), path);
}

}  // namespace qvl
