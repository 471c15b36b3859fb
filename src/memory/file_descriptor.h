// An open file that closes itself.
#pragma once

#include <unistd.h>

#include <utility>

namespace qvl {

/// Owns a file descriptor, or none. Thread-compatible.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  /// Takes `fd` over; a negative one, as a failed open gives it, is none.
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

}  // namespace qvl
