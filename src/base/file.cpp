#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>

namespace qvl {
namespace {

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

std::string path_name(const std::filesystem::path& path) {
  return path.empty() ? "\"\"" : printable(path.string(), 4096);
}

std::string read_file(const std::filesystem::path& path, uint64_t max_bytes, ErrorCode code) {
  const std::string name = path_name(path);
  // O_NONBLOCK: opening a FIFO without a writer must not hang; it changes nothing for regular files.
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) fail(code, "{}: cannot open: {}", name, std::strerror(errno));
  struct stat info {};
  if (::fstat(file.fd, &info) != 0) fail(code, "{}: cannot read: {}", name, std::strerror(errno));
  if (!S_ISREG(info.st_mode)) {
    fail(code, "{}: found a {}, expected a regular file", name,
         S_ISDIR(info.st_mode) ? "folder" : "special file");
  }
  auto size = static_cast<uint64_t>(info.st_size);
  if (size > max_bytes) fail(code, "{}: {} bytes, at most {} allowed", name, size, max_bytes);
  std::string bytes(size, '\0');
  size_t done = 0;
  while (done < bytes.size()) {
    ssize_t got = ::read(file.fd, bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(code, "{}: cannot read: {}", name, std::strerror(errno));
    if (got == 0) fail(code, "{}: became shorter while it was read", name);
    done += static_cast<size_t>(got);
  }
  return bytes;
}

std::vector<std::string> names_in(const std::filesystem::path& folder, std::error_code& error) {
  error.clear();
  std::vector<std::string> names;
  const std::unique_ptr<DIR, CloseFolder> open(::opendir(folder.c_str()));
  if (open) {
    errno = 0;
    while (const dirent* entry = ::readdir(open.get())) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
      errno = 0;
    }
  }
  if (errno != 0) {
    error = std::error_code(errno, std::generic_category());
    return {};
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool read_fully(int fd, std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t got = ::read(fd, out.data(), out.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    out = out.subspan(static_cast<size_t>(got));
  }
  return true;
}

}  // namespace qvl
