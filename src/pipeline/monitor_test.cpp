// Looks at this machine, in which this process runs.
#include "qvl/monitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/json.h"
#include "qvl/error.h"

namespace qvl {
namespace {

using ::testing::IsEmpty;

TEST(Monitor, sees_the_share_of_a_process_from_the_second_look_on) {
  const auto pid = static_cast<uint32_t>(::getpid());
  Monitor monitor({.pid = pid});
  const MachineView first = monitor.look();
  EXPECT_FALSE(first.busy_cpus);
  ASSERT_THAT(first.processes, testing::Not(IsEmpty()));
  EXPECT_EQ(first.processes[0].pid, pid);
  EXPECT_GT(first.processes[0].rss_bytes, 0u);
  EXPECT_FALSE(first.processes[0].cpus);
  MachineView view;
  do {  // until a tick of the kernel was ours
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
    while (std::chrono::steady_clock::now() < end) {
    }
    view = monitor.look();
  } while (view.watched_cpus.value_or(0) == 0);
  EXPECT_GT(view.processes[0].cpus.value_or(0), 0);
  EXPECT_DOUBLE_EQ(*view.watched_cpus + *view.other_cpus, *view.busy_cpus);
  for (const CoreView& core : view.cores) EXPECT_LE(core.watched, core.busy);
}

TEST(Monitor, refuses_a_process_that_is_not_there) {
  try {
    Monitor({.pid = 2'000'000'000});  // beyond what the kernel numbers
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::usage);
    EXPECT_STREQ(error.what(), "pid: found 2000000000, expected the number of a running process");
  }
}

TEST(Monitor, writes_a_look_as_one_object_without_what_is_not_known) {
  EXPECT_EQ(to_json(MachineView{}),
            R"({"time_s":0.0,"cores":[],"memory":{},"stalls":{},"gpus":[],"processes":[]})");
  MachineView view{.time_s = 5, .interval_s = 1};
  view.cores = {{.cpu = 3, .busy = 0.5, .watched = 0.25, .mhz = 1000}};
  view.busy_cpus = 0.5;
  view.memory.limit_bytes = 7;
  view.stalls.io = 1.5;
  view.hottest = HeatView{.name = "Core 0", .celsius = 61, .limit_c = 100};
  view.gpus = {{.name = "G", .busy = 0.5}};
  LoadedModelView model{.name = "2b", .uptime_s = 2, .cap_bytes = 9, .held_bytes = 8};
  model.parts = {{"kv", 8}};
  model.running = 1;
  model.stages = {{.name = "decode", .count = 4, .mean_ms = 2, .per_s = 3}};
  view.processes = {{.pid = 1, .name = "qvl", .cpus = 0.5, .models = {model}}};
  EXPECT_EQ(to_json(view),
            R"({"time_s":5.0,"interval_s":1.0,"cores":[{"cpu":3,"busy":0.5,"watched":0.25,"mhz":1000.0}],)"
            R"("busy_cpus":0.5,"memory":{"limit_bytes":7},"stalls":{"io":1.5},)"
            R"("hottest":{"name":"Core 0","celsius":61.0,"limit_c":100.0},"gpus":[{"name":"G","busy":0.5}],)"
            R"("processes":[{"pid":1,"name":"qvl","cpus":0.5,"models":[{"name":"2b","uptime_s":2.0,)"
            R"("cap_bytes":9,"held_bytes":8,"by_part":{"kv":8},"waiting":0,"running":1,"done":0,)"
            R"("stages":{"decode":{"count":4,"mean_ms":2.0,"per_s":3.0}}}]}]})");
}

}  // namespace
}  // namespace qvl
