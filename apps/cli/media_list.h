// Lists of pictures and videos in JSON objects that users write.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace qvl::cli {

/// The files under `key`, relative ones from `folder` on; none where there is no such key. Throws
/// Error{usage} "KEY: found 5, expected a list of files".
std::vector<std::filesystem::path> media_list(const nlohmann::ordered_json& object, const std::string& key,
                                              const std::filesystem::path& folder);

}  // namespace qvl::cli
