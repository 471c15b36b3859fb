// The kernel's text files below /proc and /sys, and the cgroups of this process.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qvl {

/// Where /proc and /sys are found. Tests point it at a folder of their own. Immutable, thread-safe.
class SystemFiles {
 public:
  explicit SystemFiles(std::filesystem::path root = "/") : root_(std::move(root)) {}

  /// `path` begins with a slash: "/proc/stat".
  std::filesystem::path at(std::string_view path) const;
  /// All of a file of at most 1 MiB; nothing where it cannot be read. Such files fail in ordinary use: a
  /// kernel lacks them, a container hides them.
  std::optional<std::string> read(std::string_view path) const;
  /// The first line of a file, without its end.
  std::optional<std::string> first_line(std::string_view path) const;
  /// A file that holds one whole number.
  std::optional<int64_t> number(std::string_view path) const;
  /// Names in a folder, sorted; none where it cannot be read.
  std::vector<std::string> names(std::string_view path) const;

 private:
  std::filesystem::path root_;
};

/// A folder whose limits bind this process.
struct Cgroup {
  enum class Version { v1, v2 };
  Version version;
  std::string folder;  ///< as SystemFiles takes it: "/sys/fs/cgroup/cpu/group"
};

/// The group of this process and all its ancestors, nearest first, for one controller ("cpu", "memory"):
/// those of version 1 that have it, and those of version 2. Folders that are not there are left out.
std::vector<Cgroup> enclosing_cgroups(const SystemFiles& files, std::string_view controller);

/// A whole number that fills `text` but for white space around it.
std::optional<int64_t> parse_whole(std::string_view text);

}  // namespace qvl
