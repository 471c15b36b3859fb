// A terminal as a whole screen that is drawn again and again, and left as it was.
#pragma once

#include <termios.h>

#include <optional>
#include <string>
#include <vector>

namespace qvl::cli {

/// Where a terminal has none, text alone must tell.
enum class Colours { none, ansi };

struct ScreenSize {
  int columns = 80, rows = 24;
};

/// Signals that end or redraw, caught while this object is there. One at a time.
class SignalWatch {
 public:
  SignalWatch();
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  /// What wait() came back for.
  enum class Wake { time, redraw, quit };
  /// Until the seconds are over, the window has another size, or somebody wants an end: SIGINT, SIGTERM,
  /// SIGHUP, or, where keys are read, q, Ctrl-C or the end of the terminal.
  enum class Keys { ignored, read };
  Wake wait(double seconds, Keys keys);
  /// The exit code of what ended it: 0 for q, 128 and the number of a signal.
  int exit_code() const { return exit_code_; }

 private:
  Wake take_signals();
  Wake take_keys();

  int fds_[2] = {-1, -1};
  int exit_code_ = 0;
};

/// The alternate screen without cursor, and keys without echo. The destructor gives the terminal back.
class FullScreen {
 public:
  FullScreen();
  ~FullScreen();
  FullScreen(const FullScreen&) = delete;
  FullScreen& operator=(const FullScreen&) = delete;

  ScreenSize size() const;
  /// At most as many lines as there are rows. Throws as print().
  void draw(const std::vector<std::string>& lines) const;

 private:
  std::optional<termios> before_;  // nothing where keys do not come from a terminal
};

}  // namespace qvl::cli
