#include "npy_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "qvl/error.h"

namespace qvl::cli {
namespace {

static_assert(std::endian::native == std::endian::little, "rows are written as they lie in memory");

// Room for any shape; rewritten in place when the number of rows is known.
constexpr size_t kHeaderBytes = 128;

}  // namespace

NpyWriter::NpyWriter(std::string path, int64_t columns)
    : path_(std::move(path)), temporary_(path_ + ".part" + std::to_string(::getpid())), columns_(columns) {
  // Renaming over a device would replace it.
  struct stat info {};
  if (::stat(path_.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    throw Error(ErrorCode::environment, path_ + ": found a " +
                                            (S_ISDIR(info.st_mode) ? "folder" : "special file") +
                                            ", expected a regular file or a new name");
  }
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd_ < 0) refuse("cannot create");
  try {
    write_header();
  } catch (const Error&) {
    ::close(fd_);
    ::unlink(temporary_.c_str());
    throw;
  }
}

NpyWriter::~NpyWriter() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

void NpyWriter::write(std::span<const float> rows) {
  write_bytes(rows.data(), rows.size_bytes());
  rows_ += static_cast<int64_t>(rows.size()) / columns_;
}

void NpyWriter::finish() {
  if (::lseek(fd_, 0, SEEK_SET) != 0) refuse("cannot write");
  write_header();
  const int closed = ::close(std::exchange(fd_, -1));
  if (closed == 0 && std::rename(temporary_.c_str(), path_.c_str()) == 0) return;
  const int error = errno;
  ::unlink(temporary_.c_str());
  errno = error;
  refuse("cannot write");
}

void NpyWriter::write_bytes(const void* data, size_t size) {
  const char* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::write(fd_, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) refuse("cannot write");
    bytes += written;
    size -= static_cast<size_t>(written);
  }
}

// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
void NpyWriter::write_header() {
  std::string header = "\x93NUMPY";
  header += {'\x01', '\x00'};
  constexpr auto kDictBytes = static_cast<uint16_t>(kHeaderBytes - 10);
  header += {static_cast<char>(kDictBytes & 0xFF), static_cast<char>(kDictBytes >> 8)};
  header += "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows_) + ", " +
            std::to_string(columns_) + "), }";
  header.resize(kHeaderBytes - 1, ' ');
  header += '\n';
  write_bytes(header.data(), header.size());
}

void NpyWriter::refuse(const char* what) const {
  throw Error(ErrorCode::environment, path_ + ": " + what + ": " + std::strerror(errno));
}

}  // namespace qvl::cli
