// The text of a progress line, and when it is due.
#pragma once

#include <chrono>
#include <string>

#include "qvl/qvl.h"

namespace qvl::cli {

/// Where progress goes: a terminal has one line that is rewritten, a file a line for each thing at work.
enum class ProgressTarget { terminal, file };

/// Decides what is written, and writes nothing. A stage shows once it has lasted a second, at most ten times
/// a second on a terminal and once a second elsewhere. Thread-compatible.
class ProgressLine {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit ProgressLine(ProgressTarget target) : target_(target) {}

  /// What to write at `now`, which never goes back; often nothing.
  std::string show(const Progress& progress, Time now);
  /// What to write so that a terminal's line is gone.
  std::string clear();

 private:
  ProgressTarget target_;
  std::string stage_, shown_;  // the stage at work; the name last shown
  Time began_ = {}, shown_at_ = {};
  bool open_ = false;  // a terminal's line is there
};

}  // namespace qvl::cli
