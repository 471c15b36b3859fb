// What a user sees of a batch.
#include "batch_progress.h"

#include <gtest/gtest.h>

namespace qvl::cli {
namespace {

using namespace std::chrono_literals;

constexpr BatchProgress::Time kStart{};

TEST(BatchProgress, is_a_bar_on_a_terminal_ten_times_a_second) {
  BatchProgress progress(ProgressTarget::terminal, 12, 0, kStart);
  EXPECT_EQ(progress.show({}, kStart + 99ms), "");
  EXPECT_EQ(progress.show({}, kStart + 100ms), "\r[........................] 0/12 answered\x1b[K");
  EXPECT_EQ(progress.show({.answered = 3, .pictures = 6}, kStart + 4s),
            "\r[######..................] 3/12 answered, 1.50 pictures/s, 0:12 left\x1b[K");
  EXPECT_EQ(progress.show({.answered = 4, .pictures = 6}, kStart + 4s + 99ms), "");
  EXPECT_EQ(progress.show({.answered = 12, .failed = 2, .pictures = 6}, kStart + 12s),
            "\r[########################] 12/12 answered (2 failed), 0.50 pictures/s\x1b[K");
  EXPECT_EQ(progress.finish({.answered = 12, .failed = 2, .pictures = 6}, kStart + 12s),
            "\r\x1b[Kqvl: 12 requests answered, 2 failed, 0.50 pictures/s\n");
}

TEST(BatchProgress, is_a_line_every_five_seconds_in_a_file) {
  BatchProgress progress(ProgressTarget::file, std::nullopt, 0, kStart);
  EXPECT_EQ(progress.show({.answered = 1}, kStart + 4999ms), "");
  EXPECT_EQ(progress.show({.answered = 1}, kStart + 5s), "qvl: 1 answered, 0.20 answers/s ...\n");
  EXPECT_EQ(progress.show({.answered = 2}, kStart + 9s), "");
  EXPECT_EQ(progress.finish({.answered = 2}, kStart + 10s),
            "qvl: 2 requests answered, 0 failed, 0.20 answers/s\n");
}

TEST(BatchProgress, counts_what_was_answered_before_as_done_but_not_as_work) {
  BatchProgress progress(ProgressTarget::file, 7300, 100, kStart);
  EXPECT_EQ(progress.show({.answered = 100}, kStart + 5s), "qvl: 100/7300 answered ...\n");
  EXPECT_EQ(progress.show({.answered = 110}, kStart + 10s),
            "qvl: 110/7300 answered, 1.00 answers/s, 1:59:50 left ...\n");
  EXPECT_EQ(progress.finish({.answered = 101}, kStart + 20s),
            "qvl: 1 request answered, 100 were before, 0 failed, 0.05 answers/s\n");
}

}  // namespace
}  // namespace qvl::cli
