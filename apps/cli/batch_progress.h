// How far a batch has come, in a line: a bar for a terminal, a line each few seconds for a file.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "progress_line.h"

namespace qvl::cli {

struct BatchCount {
  int64_t answered = 0;  ///< lines with an answer or an error, those of earlier runs included
  int64_t failed = 0;    ///< of these, with an error
  int64_t pictures = 0;  ///< pictures and videos of the answers of this run
};

/// Decides what is written, and writes nothing. Thread-compatible.
class BatchProgress {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// `total` lines where it is known, `skipped` of them answered by earlier runs.
  BatchProgress(ProgressTarget target, std::optional<int64_t> total, int64_t skipped, Time now)
      : target_(target), total_(total), skipped_(skipped), began_(now), shown_at_(now) {}

  /// What to write at `now`, which never goes back; often nothing. At most ten times a second on a terminal,
  /// every five seconds elsewhere.
  std::string show(const BatchCount& count, Time now);
  /// Wipes a terminal's line, and sums up.
  std::string finish(const BatchCount& count, Time now);

 private:
  std::string rates(const BatchCount& count, Time now) const;
  std::string remaining(const BatchCount& count, Time now) const;

  ProgressTarget target_;
  std::optional<int64_t> total_;
  int64_t skipped_;
  Time began_, shown_at_;
  bool open_ = false;  // a terminal's line is there
};

}  // namespace qvl::cli
