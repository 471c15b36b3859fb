// Ctrl-C: the first one asks the work to end after its current step, the second ends the process at once.
#pragma once

#include <stop_token>
#include <thread>

namespace qvl::cli {

constexpr int kInterruptedExit = 130;

/// Requested by the first SIGINT. Thread-safe.
std::stop_token interrupt_token();
bool interrupted();

/// Catches SIGINT while it is there; before and after, SIGINT ends the process as any other. Where the system
/// has no thread to spare it does so throughout. One at a time.
class InterruptWatch {
 public:
  InterruptWatch();
  ~InterruptWatch();
  InterruptWatch(const InterruptWatch&) = delete;
  InterruptWatch& operator=(const InterruptWatch&) = delete;

 private:
  std::jthread thread_;  // a signal handler may not touch a stop_source: it wakes this thread
};

}  // namespace qvl::cli
