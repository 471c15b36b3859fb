#include "activity.h"

#include <unistd.h>

#include <csignal>
#include <utility>

namespace qvl::cli {
namespace {

using namespace std::chrono_literals;

// A signal handler can only reach static storage.
volatile std::sig_atomic_t interrupts = 0;

extern "C" void on_interrupt(int) {
  if (interrupts != 0) ::_exit(kInterruptedExit);
  interrupts = 1;
}

void write_line(const std::string& text) { (void)!::write(STDERR_FILENO, text.data(), text.size()); }

}  // namespace

void watch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = on_interrupt;
  // No SA_RESTART: a read from a terminal is to end, too.
  ::sigaction(SIGINT, &action, nullptr);
}

bool interrupted() { return interrupts != 0; }

Activity::Activity() : terminal_(::isatty(STDERR_FILENO) == 1) {}

Activity::~Activity() { clear(); }

ProgressListener Activity::progress() {
  return [this](const Progress& progress) { show(progress); };
}

Listeners Activity::listeners(std::function<void(std::string_view)> text) {
  Listeners listeners{.progress = progress(), .stop = stop_.get_token()};
  if (text) {
    listeners.text = [this, text = std::move(text)](std::string_view part) {
      streaming_ = true;
      clear();
      text(part);
    };
  }
  return listeners;
}

void Activity::show(const Progress& progress) {
  if (interrupted()) stop_.request_stop();
  const auto now = Clock::now();
  if (streaming_ || now - start_ < 1s || progress.fraction >= 1) return;
  if (!terminal_) {
    if (stage_ != progress.stage) write_line("qvl: " + std::string(progress.stage) + " ...\n");
    stage_ = progress.stage;
    return;
  }
  if (stage_ == progress.stage && now - last_shown_ < 100ms) return;
  stage_ = progress.stage;
  last_shown_ = now;
  line_open_ = true;
  write_line("\r" + stage_ + " " + std::to_string(static_cast<int>(progress.fraction * 100)) + " %\x1b[K");
}

void Activity::clear() {
  if (line_open_) write_line("\r\x1b[K");
  line_open_ = false;
}

}  // namespace qvl::cli
