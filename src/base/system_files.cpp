#include "base/system_files.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <system_error>

#include "base/file.h"

namespace qvl {
namespace {

constexpr std::streamsize kMostBytes = 1 << 20;

// Where version 2 is mounted: alone, or beside version 1.
constexpr std::string_view kUnifiedRoots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\n\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\n\r") - first + 1);
}

bool lists(std::string_view names, std::string_view wanted) {
  while (!names.empty()) {
    const size_t end = std::min(names.find(','), names.size());
    if (names.substr(0, end) == wanted) return true;
    names.remove_prefix(std::min(end + 1, names.size()));
  }
  return false;
}

// Adds `group` below `root` and its ancestors up to `root` itself, as far as they are there. In a container
// the path is often that of the host, of which nothing but the root is seen.
void add_ancestors(const SystemFiles& files, Cgroup::Version version, std::string_view root,
                   std::string_view group, std::vector<Cgroup>& out) {
  while (!group.empty() && group.back() == '/') group.remove_suffix(1);
  for (;;) {
    Cgroup found{.version = version, .folder = std::string(root) + std::string(group)};
    std::error_code error;
    if (std::filesystem::is_directory(files.at(found.folder), error)) out.push_back(std::move(found));
    if (group.empty()) return;
    group = group.substr(0, group.rfind('/') == std::string_view::npos ? 0 : group.rfind('/'));
  }
}

// A line of /proc/self/cgroup is "ID:CONTROLLERS:PATH"; version 2 has no controllers.
void add_groups(const SystemFiles& files, std::string_view line, std::string_view controller,
                std::vector<Cgroup>& out) {
  const size_t first = line.find(':');
  const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
  if (second == std::string_view::npos) return;
  const std::string_view controllers = line.substr(first + 1, second - first - 1);
  const std::string_view group = line.substr(second + 1);
  if (controllers.empty()) {
    for (std::string_view root : kUnifiedRoots) {
      std::error_code error;
      if (!std::filesystem::exists(files.at(std::string(root) + "/cgroup.controllers"), error)) continue;
      add_ancestors(files, Cgroup::Version::v2, root, group, out);
    }
  } else if (lists(controllers, controller)) {
    // Mounted under the names of all controllers together, or linked under one.
    for (std::string_view name : {controllers, controller}) {
      const std::string root = "/sys/fs/cgroup/" + std::string(name);
      std::error_code error;
      if (!std::filesystem::is_directory(files.at(root), error)) continue;
      add_ancestors(files, Cgroup::Version::v1, root, group, out);
      return;
    }
  }
}

}  // namespace

std::filesystem::path SystemFiles::at(std::string_view path) const {
  return root_ / std::filesystem::path(path).relative_path();
}

std::optional<std::string> SystemFiles::read(std::string_view path) const {
  std::ifstream file(at(path), std::ios::binary);
  if (!file) return std::nullopt;
  std::string text(4096, '\0');
  std::streamsize size = 0;
  // Such files tell no size, and come whole in few reads.
  while (file.read(text.data() + size, static_cast<std::streamsize>(text.size()) - size), file.gcount() > 0) {
    size += file.gcount();
    if (size == kMostBytes) break;
    if (static_cast<size_t>(size) == text.size()) {
      text.resize(static_cast<size_t>(std::min(2 * size, kMostBytes)));
    }
  }
  if (file.bad()) return std::nullopt;
  text.resize(static_cast<size_t>(size));
  return text;
}

std::optional<std::string> SystemFiles::first_line(std::string_view path) const {
  auto text = read(path);
  if (!text || text->empty()) return std::nullopt;
  text->resize(std::min(text->find('\n'), text->size()));
  return text;
}

std::optional<int64_t> SystemFiles::number(std::string_view path) const {
  const auto text = read(path);
  return text ? parse_whole(*text) : std::nullopt;
}

std::vector<std::string> SystemFiles::names(std::string_view path) const {
  std::error_code missing;
  return names_in(at(path), missing);
}

std::vector<Cgroup> enclosing_cgroups(const SystemFiles& files, std::string_view controller) {
  std::vector<Cgroup> out;
  const auto groups = files.read("/proc/self/cgroup");
  if (!groups) return out;
  for (std::string_view rest = *groups; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    add_groups(files, rest.substr(0, end), controller, out);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return out;
}

std::optional<int64_t> parse_whole(std::string_view text) {
  text = trimmed(text);
  int64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size())
    return std::nullopt;
  return value;
}

}  // namespace qvl
