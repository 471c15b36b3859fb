#include "interrupts.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <system_error>

namespace qvl::cli {
namespace {

// A signal handler can only reach static storage.
std::atomic<bool> interrupt_came = false;
std::atomic<int> wake_fd = -1;
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

std::stop_source& stop_source() {
  static std::stop_source source;
  return source;
}

void wake() {
  const uint64_t one = 1;
  (void)!::write(wake_fd, &one, sizeof one);
}

extern "C" void on_interrupt(int) {
  if (interrupt_came.exchange(true)) ::_exit(kInterruptedExit);
  const int error = errno;
  wake();
  errno = error;
}

void pass_on() {
  uint64_t count = 0;
  while (::read(wake_fd, &count, sizeof count) < 0 && errno == EINTR) {
  }
  if (interrupt_came) stop_source().request_stop();
}

void set_action(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  // No SA_RESTART: a read from a terminal is to end, too.
  ::sigaction(SIGINT, &action, nullptr);
}

}  // namespace

std::stop_token interrupt_token() { return stop_source().get_token(); }

bool interrupted() { return interrupt_came; }

InterruptWatch::InterruptWatch() {
  wake_fd = ::eventfd(0, EFD_CLOEXEC);
  if (wake_fd < 0) return;
  sigset_t interrupt, before;
  ::sigemptyset(&interrupt);
  ::sigaddset(&interrupt, SIGINT);
  // The thread inherits the mask: the signal is to end what the main thread waits for.
  ::pthread_sigmask(SIG_BLOCK, &interrupt, &before);
  try {
    thread_ = std::jthread(pass_on);
    set_action(on_interrupt);
  } catch (const std::system_error&) {
    // No thread, no handler.
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

InterruptWatch::~InterruptWatch() {
  set_action(SIG_DFL);
  if (thread_.joinable()) {
    wake();
    thread_.join();
  }
  if (wake_fd >= 0) ::close(wake_fd);
}

}  // namespace qvl::cli
