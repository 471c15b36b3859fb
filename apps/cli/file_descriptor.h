// An open file that is closed at the end.
#pragma once

#include <unistd.h>

#include <string>
#include <utility>

namespace qvl::cli {

/// Movable; thread-compatible.
class FileDescriptor {
 public:
  /// Takes over `fd`; -1: none.
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

  int get() const { return fd_; }

 private:
  int fd_;
};

/// Throws Error{usage} that begins with `path`.
FileDescriptor open_to_read(const std::string& path);
/// Another name of it: standard input stays open. prepare_standard_streams() was called.
FileDescriptor open_standard_input();

}  // namespace qvl::cli
