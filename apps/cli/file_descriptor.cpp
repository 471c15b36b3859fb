#include "file_descriptor.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

#include "qvl/error.h"

namespace qvl::cli {

FileDescriptor open_to_read(const std::string& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) {
    throw Error(ErrorCode::usage, (path.empty() ? "\"\"" : path) + ": cannot open: " + std::strerror(errno));
  }
  return file;
}

FileDescriptor open_standard_input() {
  return FileDescriptor(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
}

}  // namespace qvl::cli
