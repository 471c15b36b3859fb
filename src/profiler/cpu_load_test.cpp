#include "profiler/cpu_load.h"

#include <gtest/gtest.h>

#include "base/fake_system.h"

namespace qvl {
namespace {

// A machine whose files a test changes between two readings.
class CpuLoads : public testing::Test {
 protected:
  CpuCounters read(const std::string& stat, const std::string& own) {
    system_.write("/proc/stat", stat);
    system_.write("/proc/self/stat", own);
    const auto counters = read_cpu_counters(system_.files());
    EXPECT_TRUE(counters.has_value());
    return counters.value_or(CpuCounters{});
  }
  static std::string own(int user, int system) {
    return "42 (q) v(l) R) S 1 42 42 0 -1 4194560 100 0 0 0 " + std::to_string(user) + " " +
           std::to_string(system) + " 7000 8000 20 0 9 0 123 456 789\n";
  }

  FakeSystem system_;
};

//                         user nice system idle iowait irq softirq steal guest guest_nice
constexpr char kFirst[] =
    "cpu  1000 10 500 8000 100 20 30 40 400 0\n"
    "cpu0 500 5 250 4000 50 10 15 20 200 0\n"
    "cpu1 500 5 250 4000 50 10 15 20 200 0\n"
    "intr 162133 0 0\nctxt 871724\n";
// In all, user +60 (50 of them a guest's), nice +4, system +10, idle +80, iowait +20, irq +2, softirq +4,
// steal +20: 200 ticks, 80 of them busy.
constexpr char kSecond[] =
    "cpu  1060 14 510 8080 120 22 34 60 450 0\n"
    "cpu0 550 9 260 4000 70 12 19 25 250 0\n"
    "cpu1 510 5 250 4080 50 10 15 35 200 0\n"
    "intr 162133 0 0\nctxt 871724\n";

TEST_F(CpuLoads, are_the_own_and_the_foreign_part_of_what_the_kernel_counts) {
  const auto load = cpu_load(read(kFirst, own(300, 100)), read(kSecond, own(340, 110)));
  ASSERT_TRUE(load);
  EXPECT_EQ(load->cpus, 2);
  EXPECT_DOUBLE_EQ(load->busy_cpus, 2 * 80.0 / 200);  // the guest's time is not counted twice
  EXPECT_DOUBLE_EQ(*load->own_cpus, 2 * 50.0 / 200);
  EXPECT_DOUBLE_EQ(*load->foreign_cpus, 2 * 30.0 / 200);
  EXPECT_DOUBLE_EQ(*load->own_cpus + *load->foreign_cpus, load->busy_cpus);
  EXPECT_DOUBLE_EQ(load->iowait_cpus, 2 * 20.0 / 200);
  EXPECT_DOUBLE_EQ(load->stolen_cpus, 2 * 20.0 / 200);
  ASSERT_EQ(load->each.size(), 2);
  EXPECT_EQ(load->each[1].cpu, 1);
  EXPECT_DOUBLE_EQ(load->each[0].busy, 70.0 / 95);   // steal 5, iowait 20
  EXPECT_DOUBLE_EQ(load->each[1].busy, 10.0 / 105);  // idle 80, steal 15
}

TEST_F(CpuLoads, give_the_own_part_no_more_than_there_is) {
  const auto load = cpu_load(read(kFirst, own(300, 100)), read(kSecond, own(390, 110)));
  ASSERT_TRUE(load);
  EXPECT_DOUBLE_EQ(*load->own_cpus, 0.8);
  EXPECT_DOUBLE_EQ(*load->foreign_cpus, 0);
}

TEST_F(CpuLoads, take_a_step_backwards_for_none) {
  const CpuCounters before = read(kFirst, own(1, 1));
  // idle -1 and iowait -5, as they do; user +30, system +70.
  const auto load = cpu_load(before, read("cpu 1030 10 570 7999 95 20 30 40 400 0\n", own(31, 1)));
  ASSERT_TRUE(load);
  EXPECT_DOUBLE_EQ(load->busy_cpus, 1);
  EXPECT_DOUBLE_EQ(*load->own_cpus, 0.3);
  EXPECT_DOUBLE_EQ(load->iowait_cpus, 0);
}

TEST_F(CpuLoads, are_none_where_no_tick_has_passed_or_all_counters_began_again) {
  const CpuCounters before = read(kSecond, own(1, 1));
  EXPECT_FALSE(cpu_load(before, before));
  EXPECT_FALSE(cpu_load(before, read(kFirst, own(1, 1))));
}

TEST_F(CpuLoads, have_no_own_part_where_the_process_is_not_told_or_went_backwards) {
  const CpuCounters before = read(kFirst, own(300, 100));
  for (const std::string& text :
       std::initializer_list<std::string>{"nonsense", own(1, 1), "42 (qvl) S 1 2 3",
                                          "42 (qvl) S 1 2 3 4 5 6 7 8 9 10 18446744073709551615 9 0"}) {
    const auto load = cpu_load(before, read(kSecond, text));
    ASSERT_TRUE(load) << text;
    EXPECT_DOUBLE_EQ(load->busy_cpus, 0.8);
    EXPECT_FALSE(load->own_cpus) << text;
    EXPECT_FALSE(load->foreign_cpus) << text;
  }
}

TEST_F(CpuLoads, leave_out_processors_that_came_or_went) {
  const CpuCounters before = read("cpu 100 0 0 100\ncpu0 50 0 0 50\ncpu1 50 0 0 50\n", own(1, 1));
  const auto load = cpu_load(before, read("cpu 200 0 0 200\ncpu1 100 0 0 50\ncpu3 9 0 0 9\n", own(1, 1)));
  ASSERT_TRUE(load);
  ASSERT_EQ(load->each.size(), 1);
  EXPECT_EQ(load->each[0].cpu, 1);
  EXPECT_DOUBLE_EQ(load->each[0].busy, 1);
  EXPECT_DOUBLE_EQ(load->busy_cpus, 1);  // half of the two that are online
}

TEST_F(CpuLoads, need_no_more_fields_than_old_kernels_have) {
  const CpuCounters before = read("cpu 100 0 0 100\ncpu0 100 0 0 100\n", own(1, 1));
  const auto load = cpu_load(before, read("cpu 130 0 0 170\ncpu0 130 0 0 170\n", own(1, 1)));
  ASSERT_TRUE(load);
  EXPECT_DOUBLE_EQ(load->busy_cpus, 0.3);
}

TEST(CpuCounters, are_none_where_the_file_is_missing_or_no_such_file) {
  FakeSystem system;
  EXPECT_FALSE(read_cpu_counters(system.files()));
  for (const char* text : {"", "\n", "cpu\n", "cpu 1 2 3\n", "cpu 1 2 3 -4\n", "cpu a b c d\n",
                           "cpu0 1 2 3 4\n", "cpu 1 2 3 99999999999999999999\n"}) {
    system.write("/proc/stat", text);
    EXPECT_FALSE(read_cpu_counters(system.files())) << text;
  }
}

TEST(CpuCounters, end_where_processors_are_out_of_order) {
  FakeSystem system;
  system.write("/proc/stat", "cpu 1 2 3 4\ncpu0 1 2 3 4\ncpu2 1 2 3 4\ncpu2 1 2 3 4\ncpu3 1 2 3 4\n");
  const auto counters = read_cpu_counters(system.files());
  ASSERT_TRUE(counters);
  ASSERT_EQ(counters->each.size(), 2);
  EXPECT_EQ(counters->each[1].cpu, 2);
}

TEST(CpuCounters, of_this_machine_can_be_read) {
  const auto counters = read_cpu_counters(SystemFiles());
  ASSERT_TRUE(counters);
  EXPECT_GT(counters->all.idle + counters->all.user, 0U);
  EXPECT_TRUE(counters->own_ticks);
  EXPECT_FALSE(counters->each.empty());
}

}  // namespace
}  // namespace qvl
