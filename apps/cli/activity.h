// What a user sees while the library works, and how Ctrl-C reaches it.
#pragma once

#include <functional>
#include <string_view>

#include "interrupts.h"
#include "progress_line.h"
#include "qvl/qvl.h"

namespace qvl::cli {

/// Progress of one piece of work on standard error. Thread-compatible.
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
  ProgressLine line_;
  bool streaming_ = false;
};

}  // namespace qvl::cli
