#include "activity.h"

#include <unistd.h>

#include <chrono>
#include <string>
#include <utility>

namespace qvl::cli {
namespace {

void write_text(const std::string& text) {
  if (!text.empty()) (void)!::write(STDERR_FILENO, text.data(), text.size());
}

ProgressTarget standard_error() {
  return ::isatty(STDERR_FILENO) == 1 ? ProgressTarget::terminal : ProgressTarget::file;
}

}  // namespace

Activity::Activity() : line_(standard_error()) {}

Activity::~Activity() { write_text(line_.clear()); }

ProgressListener Activity::progress() {
  return [this](const Progress& progress) {
    if (!streaming_) write_text(line_.show(progress, std::chrono::steady_clock::now()));
  };
}

Listeners Activity::listeners(std::function<void(std::string_view)> text) {
  Listeners listeners{.progress = progress(), .stop = interrupt_token()};
  if (text) {
    listeners.text = [this, text = std::move(text)](std::string_view part) {
      streaming_ = true;
      write_text(line_.clear());
      text(part);
    };
  }
  return listeners;
}

}  // namespace qvl::cli
