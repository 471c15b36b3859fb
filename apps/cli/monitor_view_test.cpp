// What a person sees, and that it fits the screen.
#include "monitor_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qvl::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

constexpr uint64_t kGib = 1 << 30;

MachineView example() {
  MachineView view;
  view.cores = {{.cpu = 0, .busy = 1, .watched = 0.75}, {.cpu = 1, .busy = 0.5, .watched = 0, .mhz = 3200}};
  view.busy_cpus = 1.5;
  view.watched_cpus = 0.75;
  view.other_cpus = 0.75;
  view.memory = {.total_bytes = 8 * kGib, .available_bytes = 6 * kGib};
  view.stalls = {.cpu = 12.5, .memory = 0};
  view.hottest = HeatView{.name = "Core 0", .celsius = 61, .limit_c = 100};
  view.gpus = {{.name = "GeForce", .busy = 0.25, .memory_used_bytes = kGib, .memory_total_bytes = 4 * kGib}};
  view.read_bytes_per_s = 2.5e6;
  LoadedModelView model{.name = "2b", .uptime_s = 75, .cap_bytes = 4 * kGib, .held_bytes = 2 * kGib};
  model.parts = {{"weights", kGib}, {"kv", 64 << 20}};
  model.waiting = 2;
  model.running = 1;
  model.done = 3;
  model.stages = {{.name = "vision", .count = 4, .mean_ms = 812, .per_s = 0},
                  {.name = "decode", .count = 40, .mean_ms = 2.125, .per_s = 37.25}};
  view.processes = {{.pid = 1234, .name = "qvl", .cpus = 0.75, .rss_bytes = kGib, .models = {model}}};
  return view;
}

TEST(MonitorView, shows_the_machine_and_every_running_qvl) {
  EXPECT_THAT(screen_lines(example(), {.columns = 70, .rows = 24}, Colours::none),
              ElementsAre(" qvl monitor                                                q ends it ",
                          "   0 [##################################|||||||||||]  100 %           ",
                          "   1 [|||||||||||||||||||||||                      ]   50 %  3.2 GHz  ",
                          " busy    1.50 of 2 processors: # watched 0.75, | others 0.75",
                          " memory  [##||           ] 2.0 GiB of 8.0 GiB",
                          " stalls  processors 12.5 %, memory 0.0 % of the last 10 s",
                          " heat    61 C of 100 Core 0  ",
                          " GPU     [||||           ] 25 %  1.0 GiB of 4.0 GiB  GeForce",
                          " traffic disks read 2.5 MB/s, written 0.0 MB/s  ", "",
                          "    1234  qvl  0.75 processors  1.0 GiB resident",
                          "          2b  for 75 s  1 running, 2 waiting, 3 done",
                          "          holds 2.0 GiB of 4.0 GiB:  weights 1.0 GiB  kv 64 MiB  ",
                          "          vision 0.0/s (812 ms)  decode 37.2/s (2.12 ms)  "));
}

// Columns of a line, colours left out.
size_t columns(const std::string& line) {
  size_t count = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\x1b') {
      i = line.find('m', i);
    } else {
      ++count;
    }
  }
  return count;
}

TEST(MonitorView, fits_every_screen_in_colours_too) {
  MachineView view = example();
  for (int cpu = 2; cpu < 300; ++cpu) view.cores.push_back({.cpu = cpu, .busy = 0.3, .watched = 0.1});
  for (const int width : {1, 2, 20, 79, 80, 200}) {
    for (const int height : {1, 2, 10, 24, 100}) {
      for (const Colours colours : {Colours::none, Colours::ansi}) {
        const auto lines = screen_lines(view, {.columns = width, .rows = height}, colours);
        EXPECT_LE(lines.size(), static_cast<size_t>(height));
        for (const std::string& line : lines) EXPECT_LE(columns(line), static_cast<size_t>(width)) << line;
      }
    }
  }
}

TEST(MonitorView, says_how_many_processors_have_no_place) {
  MachineView view;
  for (int cpu = 0; cpu < 100; ++cpu) view.cores.push_back({.cpu = cpu});
  const auto lines = screen_lines(view, {.columns = 80, .rows = 24}, Colours::none);
  EXPECT_EQ(lines[13], "     and 76 more");  // two columns of twelve
}

TEST(MonitorView, colours_bars_and_warns_in_red) {
  const auto lines = screen_lines(example(), {}, Colours::ansi);
  EXPECT_THAT(lines[1], HasSubstr("\x1b[32m#####"));
  EXPECT_THAT(lines[1], HasSubstr("\x1b[34m|||||"));
  EXPECT_THAT(lines[5], HasSubstr("\x1b[31m12.5 %\x1b[0m"));
  for (const std::string& line : screen_lines(example(), {}, Colours::none)) {
    EXPECT_THAT(line, Not(HasSubstr("\x1b")));
  }
}

TEST(MonitorView, leaves_out_what_the_machine_does_not_tell) {
  const auto lines = screen_lines({}, {}, Colours::none);
  ASSERT_THAT(lines, SizeIs(5));
  EXPECT_EQ(lines[1], " busy    measuring ...");
  EXPECT_EQ(lines[4], " no running qvl tells of itself");
}

TEST(MonitorView, cuts_a_name_between_two_characters) {
  MachineView view;
  view.processes = {{.pid = 1, .name = "\xc3\xa4\xc3\xb6\xc3\xbc"}};  // three characters of two bytes
  EXPECT_EQ(screen_lines(view, {.columns = 12, .rows = 9}, Colours::none)[4], "       1  \xc3\xa4\xc3\xb6");
}

TEST(MonitorView, is_one_line_for_a_file) {
  EXPECT_EQ(plain_line(example()),
            "busy 1.50 of 2 (watched 0.75, others 0.75), 6.0 GiB available, memory stalls 0.0 %, 61 C, "
            "GPU 25 %; qvl 1234: 0.75 processors 1.0 GiB, 2b 1 running 2 waiting, decode 37.2/s\n");
  EXPECT_EQ(plain_line({}), "busy unknown\n");
}

}  // namespace
}  // namespace qvl::cli
