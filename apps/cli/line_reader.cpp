#include "line_reader.h"

#include <poll.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "interrupts.h"
#include "qvl/error.h"

namespace qvl::cli {
namespace {

constexpr size_t kBlock = 1 << 16;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr uint64_t kFingerprintStart = 0xCBF29CE484222325, kFingerprintPrime = 0x100000001B3;

bool blank(const TextLine& line) {
  return line.length == TextLine::Length::whole && line.text.find_first_not_of(" \t") == std::string::npos;
}

uint64_t fingerprint(uint64_t so_far, std::string_view bytes) {
  for (const char c : bytes) so_far = (so_far ^ static_cast<unsigned char>(c)) * kFingerprintPrime;
  return so_far;
}

}  // namespace

bool LineReader::ready() {
  if (ended_ || buffer_.find('\n', used_) != std::string::npos) return true;
  pollfd poll{.fd = file_.get(), .events = POLLIN, .revents = 0};
  return ::poll(&poll, 1, 0) != 0;
}

// False at the end of the file.
bool LineReader::fill() {
  buffer_.resize(kBlock);
  used_ = 0;
  for (;;) {
    const ssize_t got = ::read(file_.get(), buffer_.data(), buffer_.size());
    if (got < 0 && errno == EINTR && !interrupted()) continue;
    buffer_.resize(static_cast<size_t>(got < 0 ? 0 : got));
    if (got < 0 && errno != EINTR) {
      throw Error(ErrorCode::usage, name_ + ": cannot read: " + std::strerror(errno));
    }
    return got > 0;
  }
}

// The next line with what it takes of the buffer, or the rest of the file.
TextLine LineReader::take() {
  TextLine line{
      .number = ++lines_, .end = TextLine::End::file, .fingerprint = kFingerprintStart, .offset = offset_};
  while (line.end == TextLine::End::file) {
    if (used_ == buffer_.size() && !fill()) {
      ended_ = true;
      break;
    }
    const std::string_view rest = std::string_view(buffer_).substr(used_);
    const size_t length = rest.find('\n');
    if (length != std::string_view::npos) line.end = TextLine::End::newline;
    const std::string_view part = rest.substr(0, length);
    const size_t taken = part.size() + (line.end == TextLine::End::newline ? 1 : 0);
    used_ += taken;
    offset_ += taken;
    // A long line is not kept, but read to its end, and told from others by its bytes.
    if (line.length == TextLine::Length::whole && line.text.size() + part.size() > max_bytes_ + 1) {
      line.fingerprint = fingerprint(line.fingerprint, line.text);
      line.text = {};
      line.length = TextLine::Length::too_long;
    }
    if (line.length == TextLine::Length::whole) {
      line.text += part;
    } else {
      line.fingerprint = fingerprint(line.fingerprint, part);
    }
  }
  return line;
}

std::optional<TextLine> LineReader::next() {
  while (!ended_) {
    TextLine line = take();
    if (interrupted()) return std::nullopt;
    if (line.length == TextLine::Length::whole) {
      if (line.text.ends_with('\r')) line.text.pop_back();
      if (line.number == 1 && line.text.starts_with(kByteOrderMark))
        line.text.erase(0, kByteOrderMark.size());
      line.fingerprint = fingerprint(line.fingerprint, line.text);
      if (line.text.size() > max_bytes_) {
        line.text = {};
        line.length = TextLine::Length::too_long;
      }
    }
    if (!blank(line)) return line;
  }
  return std::nullopt;
}

}  // namespace qvl::cli
