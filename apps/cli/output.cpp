#include "output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "file_descriptor.h"
#include "qvl/error.h"

namespace qvl::cli {
namespace {

// Bytes from `fd` to its end; errors as `name`.
std::string read_all(int fd, const std::string& name, uint64_t max_bytes) {
  std::string bytes;
  std::array<char, 1 << 16> buffer;
  for (;;) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error(ErrorCode::usage, name + ": cannot read: " + std::strerror(errno));
    if (got == 0) return bytes;
    bytes.append(buffer.data(), static_cast<size_t>(got));
    if (bytes.size() > max_bytes) {
      throw Error(ErrorCode::limit, name + ": more than the " + std::to_string(max_bytes) + " bytes allowed");
    }
  }
}

// A message shows names that others chose: no character of them may drive the terminal or begin a line.
std::string one_line(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  size_t escaped = 0;  // bytes from here on
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    if ((c < 0x20 && c != '\n') || c == 0x7F) escaped = 1;
    if (c == 0xC2 && next >= 0x80 && next < 0xA0) escaped = 2;  // U+0080 to U+009F
    if (escaped > 0) {
      (out += "\\x") += {digits[c >> 4], digits[c & 15]};
      --escaped;
    } else {
      out += c == '\n' ? ' ' : text[i];
    }
  }
  return out;
}

}  // namespace

void prepare_standard_streams() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) == -1 && errno == EBADF) {
      // The lowest free number is this one: all below are open. An answer that nobody can read is no success,
      // so writing to standard output shall fail; a message without a reader harms nobody.
      (void)!::open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
    }
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

void write_text(int fd, std::string_view name, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EPIPE) {
      throw OutputClosed{};
    } else if (errno != EINTR) {
      throw Error(ErrorCode::environment, std::string(name) + ": cannot write: " + std::strerror(errno));
    }
  }
}

void print(std::string_view text) { write_text(STDOUT_FILENO, "standard output", text); }

void print_error(std::string_view message) {
  const std::string line = "qvl: " + one_line(message) + '\n';
  (void)!::write(STDERR_FILENO, line.data(), line.size());
}

void print_warnings(const Model& model) {
  for (const std::string& warning : model.warnings()) print_error("warning: " + warning);
}

std::string read_standard_input(uint64_t max_bytes) {
  return read_all(STDIN_FILENO, "standard input", max_bytes);
}

std::string read_text_file(const std::string& path, uint64_t max_bytes) {
  return read_all(open_to_read(path).get(), path, max_bytes);
}

}  // namespace qvl::cli
