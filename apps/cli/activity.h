// What a user sees and does while the library works: a progress line on standard error, and Ctrl-C.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "qvl/qvl.h"

namespace qvl::cli {

constexpr int kInterruptedExit = 130;

/// From here on the first SIGINT asks the current step to be the last, and the second ends the process at
/// once.
void watch_interrupts();
bool interrupted();

/// Progress of one piece of work. The line appears once the work has taken over a second; on a terminal it is
/// rewritten in place, elsewhere there is one line per stage. Thread-compatible.
class Activity {
 public:
  Activity();
  ~Activity();
  Activity(const Activity&) = delete;
  Activity& operator=(const Activity&) = delete;

  /// Listeners that show progress, stop at an interrupt, and give text to `text`, which may be empty. Where
  /// text is streamed, the line is gone before it begins.
  Listeners listeners(std::function<void(std::string_view)> text = {});
  /// Progress alone, for loading.
  ProgressListener progress();

 private:
  void show(const Progress& progress);
  void clear();

  using Clock = std::chrono::steady_clock;
  std::stop_source stop_;
  bool terminal_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_shown_ = {};
  std::string stage_;  // the one last shown
  bool line_open_ = false, streaming_ = false;
};

}  // namespace qvl::cli
