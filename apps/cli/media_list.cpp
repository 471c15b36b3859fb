#include "media_list.h"

#include "qvl/error.h"

namespace qvl::cli {

std::vector<std::filesystem::path> media_list(const nlohmann::ordered_json& object, const std::string& key,
                                              const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  if (!object.contains(key)) return paths;
  const auto& names = object.at(key);
  if (!names.is_array()) throw Error(ErrorCode::usage, key + ": expected a list of files");
  for (const auto& name : names) {
    if (!name.is_string()) throw Error(ErrorCode::usage, key + ": expected a list of files");
    const auto& file = name.get_ref<const std::string&>();
    if (file.find('\0') != std::string::npos) {
      throw Error(ErrorCode::usage, key + ": a NUL character in the name of a file");
    }
    paths.push_back(folder / file);
  }
  return paths;
}

}  // namespace qvl::cli
