#include "media_list.h"

#include <algorithm>

#include "json_text.h"
#include "qvl/error.h"

namespace qvl::cli {

std::vector<std::filesystem::path> media_list(const nlohmann::ordered_json& object, const std::string& key,
                                              const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  if (!object.contains(key)) return paths;
  const auto& names = object.at(key);
  const auto is_text = [](const auto& name) { return name.is_string(); };
  if (!names.is_array() || !std::all_of(names.begin(), names.end(), is_text)) {
    throw Error(ErrorCode::usage, key + ": found " + shown(names) + ", expected a list of files");
  }
  for (const auto& name : names) {
    const auto& file = name.get_ref<const std::string&>();
    if (file.find('\0') != std::string::npos) {
      throw Error(ErrorCode::usage, key + ": a NUL character in the name of a file");
    }
    paths.push_back(folder / file);
  }
  return paths;
}

}  // namespace qvl::cli
