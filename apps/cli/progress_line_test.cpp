// What a user sees of long work, and that short work stays quiet.
#include "progress_line.h"

#include <gtest/gtest.h>

namespace qvl::cli {
namespace {

using namespace std::chrono_literals;

constexpr ProgressLine::Time kStart{};

TEST(ProgressLine, of_a_stage_below_a_second_is_not_shown_however_long_the_others_took) {
  for (ProgressTarget target : {ProgressTarget::terminal, ProgressTarget::file}) {
    ProgressLine line(target);
    EXPECT_EQ(line.show({.stage = "pack", .fraction = 0}, kStart), "");
    EXPECT_NE(line.show({.stage = "pack", .fraction = 0.5}, kStart + 9s), "");
    line.clear();
    EXPECT_EQ(line.show({.stage = "prefill", .fraction = 0}, kStart + 10s), "");
    EXPECT_EQ(line.show({.stage = "prefill", .fraction = 0.5}, kStart + 10s + 999ms), "");
    EXPECT_EQ(line.show({.stage = "decode", .fraction = 0}, kStart + 11s), "");
  }
}

TEST(ProgressLine, is_rewritten_in_place_on_a_terminal_ten_times_a_second) {
  ProgressLine line(ProgressTarget::terminal);
  EXPECT_EQ(line.show({.stage = "pack", .fraction = 0}, kStart), "");
  EXPECT_EQ(line.show({.stage = "pack", .fraction = 0.25}, kStart + 1s), "\rpack 25 %\x1b[K");
  EXPECT_EQ(line.show({.stage = "pack", .fraction = 0.30}, kStart + 1s + 99ms), "");
  EXPECT_EQ(line.show({.stage = "pack", .fraction = 0.999}, kStart + 1s + 100ms), "\rpack 99 %\x1b[K");
  EXPECT_EQ(line.show({.stage = "load", .fraction = 0}, kStart + 2s), "\r\x1b[K");  // the next stage wipes it
  EXPECT_EQ(line.clear(), "");
}

TEST(ProgressLine, is_one_for_each_thing_at_work_in_a_file) {
  ProgressLine line(ProgressTarget::file);
  const Progress first{.stage = "bench", .fraction = 0.1, .detail = "encode 64 x 64, run 1 of 2"};
  const Progress second{.stage = "bench", .fraction = 0.1, .detail = "encode 64 x 64, run 2 of 2"};
  EXPECT_EQ(line.show(first, kStart), "");
  EXPECT_EQ(line.show(first, kStart + 1s), "qvl: bench: encode 64 x 64, run 1 of 2 ...\n");
  EXPECT_EQ(line.show(first, kStart + 9s), "");
  EXPECT_EQ(line.show(second, kStart + 9s), "qvl: bench: encode 64 x 64, run 2 of 2 ...\n");
  EXPECT_EQ(line.show(first, kStart + 9s + 999ms), "");  // not more than one a second
  EXPECT_EQ(line.clear(), "");
}

TEST(ProgressLine, is_not_shown_for_work_that_is_done) {
  ProgressLine line(ProgressTarget::terminal);
  EXPECT_EQ(line.show({.stage = "load", .fraction = 0}, kStart), "");
  EXPECT_EQ(line.show({.stage = "load", .fraction = 1}, kStart + 5s), "");
}

}  // namespace
}  // namespace qvl::cli
