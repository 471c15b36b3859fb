// Ctrl-C, each time in a process of its own.
#include "interrupts.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

namespace qvl::cli {
namespace {

void wait_for_stop(const std::stop_token& token) {
  while (!token.stop_requested()) std::this_thread::yield();
}

TEST(InterruptWatch, requests_the_token_at_the_first_and_ends_the_process_at_the_second) {
  const auto twice = [] {
    const InterruptWatch watch;
    const std::stop_token token = interrupt_token();
    if (interrupted() || token.stop_requested()) std::exit(1);
    std::raise(SIGINT);
    if (!interrupted()) std::exit(2);
    wait_for_stop(token);
    std::raise(SIGINT);
    std::exit(3);
  };
  EXPECT_EXIT(twice(), ::testing::ExitedWithCode(130), "");
}

TEST(InterruptWatch, leaves_the_token_alone_without_an_interrupt_and_gives_the_signal_back) {
  const auto after = [] {
    { const InterruptWatch watch; }
    if (interrupted() || interrupt_token().stop_requested()) std::exit(1);
    std::raise(SIGINT);
    std::exit(2);
  };
  EXPECT_EXIT(after(), ::testing::KilledBySignal(SIGINT), "");
}

}  // namespace
}  // namespace qvl::cli
