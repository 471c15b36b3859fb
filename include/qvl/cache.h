// The folder that keeps packed weights, features of pictures and prompts between starts: what is in it, and
// emptying it.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace qvl {

struct PackedFile {
  std::string name = {};                       ///< within the folder
  std::optional<std::string> checkpoint = {};  ///< the name of the folder or file it was made from, if known
  uint64_t bytes = 0;
  std::chrono::system_clock::time_point last_used = {};
};

/// Features of pictures, and keys and values of prompts: many files, of interest as a whole.
struct KeptResults {
  uint64_t files = 0, bytes = 0;
};

struct CacheContents {
  std::filesystem::path folder = {};
  std::vector<PackedFile> files = {};  ///< in the order of their names
  KeptResults results = {};            ///< in the folder "features" below
};

/// What of ours is in `folder`, unset: in the one that LoadOptions::cache_folder stands for then. A folder
/// that is not there has none. Throws Error{environment} where it cannot be read, or the user has none.
CacheContents read_cache(const std::optional<std::filesystem::path>& folder);

struct CacheRemoval {
  CacheContents removed = {};
  std::vector<std::string> problems = {};  ///< a line for each file that could not be removed
};

/// Removes what read_cache() tells, and nothing else. A process that uses one of the files keeps it, and its
/// space on the disk, until it ends. Throws as read_cache().
CacheRemoval clear_cache(const std::optional<std::filesystem::path>& folder);

}  // namespace qvl
