#include "profiler/process_load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fake_system.h"

namespace qvl {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class Processes : public testing::Test {
 protected:
  static std::string stat(const std::string& name, const std::string& state, int user, int system, int cpu) {
    return "42 (" + name + ") " + state + " 1 1 1 0 -1 0 0 0 0 0 " + std::to_string(user) + " " +
           std::to_string(system) + " 0 0 20 0 2 0 777 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 17 " +
           std::to_string(cpu) + " 0 0\n";
  }
  void write(const std::string& file, const std::string& text) const {
    system_.write("/proc/42/" + file, text);
  }
  ProcessCounters read() const { return read_process_counters(system_.files(), 42).value(); }

  FakeSystem system_;
};

TEST_F(Processes, are_read_with_their_threads_and_memory) {
  write("stat", stat("a (b) c", "S", 100, 20, 1));
  write("task/42/stat", stat("a (b) c", "S", 70, 10, 1));
  write("task/43/stat", stat("helper", "R", 30, 10, 0));
  write("task/44/stat", "not a line of the kernel");
  write("status", "VmRSS: 10 kB\nVmSwap: 2 kB\n");
  const ProcessCounters counters = read();
  EXPECT_EQ(counters.name, "a (b) c");
  EXPECT_EQ(counters.start_ticks, 777);
  EXPECT_EQ(counters.ticks, 120);
  EXPECT_EQ(counters.rss_bytes, 10'240);
  EXPECT_EQ(counters.swapped_bytes, 2048);
  ASSERT_THAT(counters.threads, SizeIs(2));
  EXPECT_EQ(counters.threads[0].ticks, 80);
  EXPECT_EQ(counters.threads[0].cpu, 1);
  EXPECT_EQ(counters.threads[1].id, 43);
}

TEST_F(Processes, that_are_gone_or_only_wait_for_their_parent_are_none) {
  EXPECT_FALSE(read_process_counters(system_.files(), 42));
  write("stat", stat("done", "Z", 100, 20, 1));
  EXPECT_FALSE(read_process_counters(system_.files(), 42));
  for (const char* text : {"", "42 (x", "42 (x) S 1 2 3", "42 )x( S"}) {
    write("stat", text);
    EXPECT_FALSE(read_process_counters(system_.files(), 42)) << text;
  }
}

TEST_F(Processes, have_a_share_of_the_machine_and_of_each_processor) {
  write("stat", stat("p", "R", 100, 0, 0));
  write("task/42/stat", stat("p", "R", 100, 0, 0));
  const ProcessCounters before = read();
  write("stat", stat("p", "R", 250, 50, 0));
  write("task/42/stat", stat("p", "R", 180, 0, 0));
  write("task/43/stat", stat("new", "R", 100, 20, 1));
  const CpuLoad machine{.cpus = 2, .total_ticks = 400};
  const auto load = process_load(before, read(), machine);
  EXPECT_DOUBLE_EQ(load->cpus, 1.0);  // 200 of 400 ticks on two processors
  ASSERT_THAT(load->each, SizeIs(2));
  EXPECT_EQ(load->each[0].cpu, 0);
  EXPECT_DOUBLE_EQ(load->each[0].busy, 0.4);
  EXPECT_DOUBLE_EQ(load->each[1].busy, 0.6);
}

TEST_F(Processes, are_not_compared_with_a_later_one_of_the_same_number) {
  const ProcessCounters before{.pid = 42, .start_ticks = 777, .ticks = 10};
  ProcessCounters after{.pid = 42, .start_ticks = 778, .ticks = 20};
  const CpuLoad machine{.cpus = 1, .total_ticks = 100};
  EXPECT_FALSE(process_load(before, after, machine));
  after.start_ticks = 777;
  EXPECT_TRUE(process_load(before, after, machine));
  EXPECT_THAT(process_load(before, after, machine)->each, IsEmpty());
  EXPECT_FALSE(process_load(after, before, machine));
  EXPECT_FALSE(process_load(before, after, CpuLoad{.cpus = 1}));
}

}  // namespace
}  // namespace qvl
