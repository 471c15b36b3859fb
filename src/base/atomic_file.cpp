#include "base/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "base/file.h"

namespace qvl {
namespace {

constexpr size_t kBufferBytes = 64 << 10;

}  // namespace

AtomicFile::AtomicFile(const std::filesystem::path& path, ErrorCode code) : path_(path), code_(code) {
  // A rename takes the place of whatever is there: of a device, it would be lost to everybody.
  std::error_code unknown;
  const auto there = std::filesystem::status(path_, unknown);
  if (std::filesystem::exists(there) && !std::filesystem::is_regular_file(there)) {
    fail(code_, "{}: cannot write: found a {}, expected a file or nothing", path_name(path_),
         std::filesystem::is_directory(there) ? "folder" : "special file");
  }
  // Through a link, so that it stays one.
  if (std::filesystem::is_symlink(std::filesystem::symlink_status(path_, unknown))) {
    const auto target = std::filesystem::weakly_canonical(path_, unknown);
    if (!unknown) path_ = target;
  }
  std::string name = path_.string() + ".XXXXXX";
  fd_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (fd_ < 0) refuse(errno);
  temporary_ = name;
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::refuse(int error) const {
  fail(code_, "{}: cannot write: {}", path_name(path_), std::strerror(error));
}

void AtomicFile::write(std::string_view bytes) {
  buffer_ += bytes;
  if (buffer_.size() >= kBufferBytes) flush();
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min(kBufferBytes, bytes.size()));
    write(std::string_view(reinterpret_cast<const char*>(piece.data()), piece.size()));
    bytes = bytes.subspan(piece.size());
  }
}

void AtomicFile::flush() {
  for (std::string_view rest = buffer_; !rest.empty();) {
    const ssize_t written = ::write(fd_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) refuse(errno);
    rest.remove_prefix(static_cast<size_t>(written));
  }
  buffer_.clear();
}

void AtomicFile::commit() {
  flush();
  if (::fsync(fd_) != 0) refuse(errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) refuse(errno);
  temporary_.clear();
}

}  // namespace qvl
