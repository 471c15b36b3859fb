#include "terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <string_view>

#include "interrupts.h"
#include "output.h"
#include "qvl/error.h"

namespace qvl::cli {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
constexpr int kSignalExit = 128;
constexpr char kCtrlC = 3;

// A signal handler can only reach static storage.
std::atomic<int> signal_pipe = -1;
static_assert(std::atomic<int>::is_always_lock_free);

extern "C" void on_signal(int number) {
  const int error = errno;
  const auto byte = static_cast<char>(number);
  (void)!::write(signal_pipe, &byte, 1);
  errno = error;
}

void set_actions(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  for (int number : kSignals) ::sigaction(number, &action, nullptr);
}

}  // namespace

SignalWatch::SignalWatch() {
  if (::pipe2(fds_, O_CLOEXEC | O_NONBLOCK) != 0) {
    throw Error(ErrorCode::environment, "no pipe to be had for signals: too many open files");
  }
  signal_pipe = fds_[1];
  set_actions(on_signal);
}

SignalWatch::~SignalWatch() {
  set_actions(SIG_DFL);
  ::close(fds_[0]);
  ::close(fds_[1]);
}

SignalWatch::Wake SignalWatch::wait(double seconds, Keys keys) {
  using Clock = std::chrono::steady_clock;
  const auto end =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  const bool read_keys = keys == Keys::read && ::isatty(STDIN_FILENO) == 1;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    if (left <= 0) return Wake::time;
    pollfd polled[] = {{.fd = fds_[0], .events = POLLIN, .revents = 0},
                       {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0}};
    if (::poll(polled, read_keys ? 2 : 1, static_cast<int>(std::min<int64_t>(left, 1 << 30))) <= 0) continue;
    Wake wake = Wake::time;
    if (polled[0].revents != 0) wake = take_signals();
    if (wake == Wake::time && polled[1].revents != 0) wake = take_keys();
    if (wake != Wake::time) return wake;
  }
}

SignalWatch::Wake SignalWatch::take_signals() {
  Wake wake = Wake::time;
  char number = 0;
  while (::read(fds_[0], &number, 1) == 1) {
    if (number == SIGWINCH) {
      wake = Wake::redraw;
    } else {
      exit_code_ = kSignalExit + number;
      return Wake::quit;
    }
  }
  return wake;
}

SignalWatch::Wake SignalWatch::take_keys() {
  std::array<char, 64> pressed;
  const ssize_t got = ::read(STDIN_FILENO, pressed.data(), pressed.size());
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return Wake::time;
  if (got <= 0) return Wake::quit;
  for (const char key : std::string_view(pressed.data(), static_cast<size_t>(got))) {
    if (key == kCtrlC) exit_code_ = kInterruptedExit;
    if (key == 'q' || key == 'Q' || key == kCtrlC) return Wake::quit;
  }
  return Wake::time;
}

FullScreen::FullScreen() {
  termios now;
  if (::tcgetattr(STDIN_FILENO, &now) == 0) {
    before_ = now;
    now.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG);
    now.c_cc[VMIN] = 1;
    now.c_cc[VTIME] = 0;
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &now);
  }
  try {
    print("\x1b[?1049h\x1b[?25l");
  } catch (...) {
    if (before_) ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &*before_);
    throw;
  }
}

FullScreen::~FullScreen() {
  constexpr std::string_view leave = "\x1b[0m\x1b[?25h\x1b[?1049l";
  (void)!::write(STDOUT_FILENO, leave.data(), leave.size());
  if (before_) ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &*before_);
}

ScreenSize FullScreen::size() const {
  winsize window{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col == 0 || window.ws_row == 0) return {};
  return {.columns = window.ws_col, .rows = window.ws_row};
}

void FullScreen::draw(const std::vector<std::string>& lines) const {
  // In one write, so that no half of a picture is seen; each line clears what was behind it.
  std::string text = "\x1b[H";
  const auto rows = static_cast<size_t>(size().rows);
  for (size_t i = 0; i < lines.size() && i < rows; ++i) {
    if (i > 0) text += "\r\n";
    (text += lines[i]) += "\x1b[K";
  }
  print(text + "\x1b[J");
}

}  // namespace qvl::cli
