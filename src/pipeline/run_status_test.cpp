// What running programs publish, and what is read of files that anybody may have damaged.
#include "pipeline/run_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/fake_system.h"
#include "pipeline/system_layer.h"
#include "profiler/process_load.h"

namespace qvl {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

constexpr uint32_t kPid = 42;

class RunStatuses : public testing::Test {
 protected:
  RunStatuses() { set_process(kPid, 777); }
  void set_process(uint32_t pid, int start) const {
    const std::string number = std::to_string(pid);
    system_.write("/proc/" + number + "/stat", number + " (qvl) S 1 1 1 0 -1 0 0 0 0 0 1 1 0 0 20 0 2 0 " +
                                                   std::to_string(start) +
                                                   " 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0\n");
  }
  std::filesystem::path folder() const { return system_.files().at("/run"); }
  std::vector<std::string> names() const { return system_.files().names("/run"); }
  std::vector<RunStatus> read() const { return read_run_statuses(folder(), system_.files()); }
  static RunStatus example() {
    return {.pid = kPid,
            .start_ticks = 777,
            .model = "2b",
            .time_s = 5.5,
            .uptime_s = 2.25,
            .cap_bytes = 1000,
            .held_bytes = 500,
            .parts = {{.name = "weights", .held_bytes = 400}, {.name = "kv", .held_bytes = 100}},
            .waiting = 3,
            .running = 2,
            .done = 1,
            .stages = {{.name = "prefill", .count = 7, .mean_ms = 1.5}}};
  }

  FakeSystem system_;
};

TEST_F(RunStatuses, are_read_as_they_were_published) {
  const RunStatusFile file(folder(), kPid, 0xabc);
  ASSERT_TRUE(file.publish(example()));
  EXPECT_THAT(names(), ElementsAre("42-abc.json"));
  struct stat info {};
  ASSERT_EQ(::stat((folder() / "42-abc.json").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(::stat(folder().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  const auto found = read();
  ASSERT_THAT(found, SizeIs(1));
  const RunStatus& status = found.front();
  EXPECT_EQ(status.pid, kPid);
  EXPECT_EQ(status.model, "2b");
  EXPECT_EQ(status.time_s, 5.5);
  EXPECT_EQ(status.uptime_s, 2.25);
  EXPECT_EQ(status.cap_bytes, 1000u);
  EXPECT_EQ(status.held_bytes, 500u);
  ASSERT_THAT(status.parts, SizeIs(2));
  EXPECT_EQ(status.parts[1].name, "kv");
  EXPECT_EQ(status.parts[1].held_bytes, 100u);
  EXPECT_EQ(status.waiting, 3u);
  EXPECT_EQ(status.running, 2u);
  EXPECT_EQ(status.done, 1u);
  ASSERT_THAT(status.stages, SizeIs(1));
  EXPECT_EQ(status.stages[0].name, "prefill");
  EXPECT_EQ(status.stages[0].count, 7u);
  EXPECT_EQ(status.stages[0].mean_ms, 1.5);
}

TEST_F(RunStatuses, are_removed_with_their_publisher) {
  { RunStatusFile(folder(), kPid, 1).publish(example()); }
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(RunStatuses, of_processes_that_ended_are_left_out_and_removed) {
  const RunStatusFile living(folder(), kPid, 1);
  living.publish(example());
  system_.write("/run/43-1.json", "{}");
  system_.write("/run/43-1.json.XyZ123", "half of a");
  RunStatus earlier = example();
  earlier.start_ticks = 700;  // of a process that had the number before
  const RunStatusFile reused(folder(), kPid, 2);
  reused.publish(earlier);
  system_.write("/run/notes.txt", "no status at all");
  system_.write("/run/44", "no status either");
  EXPECT_THAT(read(), SizeIs(1));
  EXPECT_THAT(names(), ElementsAre("42-1.json", "44", "notes.txt"));
}

TEST_F(RunStatuses, that_are_not_well_formed_are_left_out_and_kept) {
  const RunStatusFile file(folder(), kPid, 1);
  file.publish(example());
  const std::string good = *system_.files().read("/run/42-1.json");
  const auto damaged = [&](const std::string& what, const std::string& by) {
    std::string text = good;
    const size_t at = text.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    return text.replace(at, what.size(), by);
  };
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string(100'000, ' '),
        damaged("\"format\":1", "\"format\":2"), damaged("\"held_bytes\":500", "\"held_bytes\":-1"),
        damaged("\"held_bytes\":500", "\"held_bytes\":1e300"), damaged("\"model\":\"2b\"", "\"model\":7"),
        damaged("\"stages\":{", "\"stages\":{\"decode\":[],"), damaged("\"time_s\":5.5,", ""),
        std::string(5000, '[')}) {
    system_.write("/run/42-1.json", text);
    EXPECT_THAT(read(), IsEmpty()) << text.substr(0, 100);
    EXPECT_THAT(names(), ElementsAre("42-1.json"));
  }
  system_.write("/run/42-1.json", damaged("\"2b\"", "\"\\u001b[2J\""));
  EXPECT_EQ(read().front().model, "\\x1b[2J");  // drives no terminal
}

TEST_F(RunStatuses, are_not_published_where_others_could_write) {
  const RunStatusFile file(folder(), kPid, 1);
  ::chmod(folder().c_str(), 0777);
  EXPECT_FALSE(file.publish(example()));
  EXPECT_THAT(names(), IsEmpty());
  ::chmod(folder().c_str(), 0700);
  EXPECT_TRUE(file.publish(example()));
  ::chmod(folder().c_str(), 0777);
  EXPECT_THAT(read(), IsEmpty());
  ::chmod(folder().c_str(), 0700);
  const auto link = system_.files().at("/link");
  std::filesystem::create_directory_symlink(folder(), link);
  EXPECT_FALSE(RunStatusFile(link, kPid, 2).publish(example()));
  EXPECT_FALSE(RunStatusFile(system_.files().at("/none/below"), kPid, 2).publish(example()));
}

TEST_F(RunStatuses, are_published_by_a_layer_that_samples_and_by_no_other) {
  system_.write("/proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 900000 kB\n");
  const auto options = [&] {
    return SystemLayerOptions{.files = system_.files(), .model = "2b", .status_folder = folder()};
  };
  {
    SystemLayer layer({.memory_limit_ratio = 0.5}, options());
    RequestGauge::Request running(layer.requests()), waiting(layer.requests());
    running.begin();
    { const RequestGauge::Request done(layer.requests()); }
    std::vector<RunStatus> found;
    while (found.empty() || found[0].done == 0) {
      found = read_run_statuses(folder(), SystemFiles());
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ASSERT_THAT(found, SizeIs(1));
    EXPECT_EQ(found[0].pid, static_cast<uint32_t>(::getpid()));
    EXPECT_EQ(found[0].model, "2b");
    EXPECT_EQ(found[0].cap_bytes, 512'000'000u);
    EXPECT_EQ(found[0].running, 1u);
    EXPECT_EQ(found[0].waiting, 1u);
    EXPECT_THAT(names(), ElementsAre(StartsWith(std::to_string(::getpid()) + "-")));
  }
  EXPECT_THAT(names(), IsEmpty());
  const SystemLayer silent({.enable_profiling = false}, options());
  EXPECT_THAT(names(), IsEmpty());
}

}  // namespace
}  // namespace qvl
