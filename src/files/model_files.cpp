#include "files/model_files.h"

#include <fmt/ranges.h>

#include <string>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "files/generation_config.h"
#include "files/gguf_model.h"
#include "files/json_config.h"
#include "files/preprocessor_config.h"
#include "files/safetensors_folder.h"

namespace qvl {
namespace {

namespace fs = std::filesystem;

// Names of GGUF files in a folder, at most a few, for the message.
std::vector<std::string> gguf_files_in(const fs::path& folder) {
  constexpr size_t enough = 5;
  std::vector<std::string> found;
  std::error_code missing;
  for (const std::string& name : names_in(folder, missing)) {
    if (found.size() < enough && fs::path(name).extension() == ".gguf") found.push_back(printable(name));
  }
  return found;
}

void check_has_config(const fs::path& folder) {
  std::error_code error;
  if (fs::exists(fs::symlink_status(folder / "config.json", error))) return;
  std::vector<std::string> gguf = gguf_files_in(folder);
  if (gguf.empty()) {
    fail(ErrorCode::model_file,
         "{}: found no config.json, expected a Hugging Face model folder or a .gguf file", folder.string());
  }
  fail(ErrorCode::model_file,
       "{}: found no config.json, but GGUF files ({}): give the path of the text file itself",
       folder.string(), fmt::join(gguf, ", "));
}

ModelFiles open_folder(const fs::path& folder) {
  check_has_config(folder);
  ModelFiles files;
  JsonModelConfig config = read_model_config(folder);
  files.generation = read_generation_config(
      folder, {.vocab_size = config.model.text.vocab_size, .eos_token_ids = config.eos_token_ids});
  files.image_preprocessor = read_preprocessor_config(folder, MediaKind::image, config.model.vision);
  files.video_preprocessor = read_preprocessor_config(folder, MediaKind::video, config.model.vision);
  files.config = std::move(config.model);
  files.tensors = open_safetensors_folder(folder, files.warnings);
  files.folder = folder;
  return files;
}

}  // namespace

ModelFiles open_model_files(const fs::path& path, const std::optional<fs::path>& mmproj) {
  std::error_code error;
  fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    fail(ErrorCode::model_file, "{}: cannot open: {}", path_name(path),
         error ? error.message() : "No such file or directory");
  }
  if (!fs::is_directory(status)) {
    if (path.extension() == ".safetensors" || path.extension() == ".json") {
      fail(ErrorCode::model_file,
           "{}: found a {} file, expected a model folder or a .gguf file: give its folder", path.string(),
           path.extension().string());
    }
    return open_gguf_model(path, mmproj);
  }
  if (mmproj) {
    fail(ErrorCode::model_file,
         "{}: a vision file goes with a GGUF text file; the folder {} has its own vision tower",
         mmproj->string(), path.string());
  }
  return open_folder(path);
}

}  // namespace qvl
