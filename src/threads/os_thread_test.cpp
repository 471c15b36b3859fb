#include "threads/os_thread.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <chrono>
#include <thread>

#include "threads/thread_faults.h"

namespace qvl {
namespace {

TEST(OsThread, is_placed_and_tells_where) {
  const CpuSet before = this_thread_affinity();
  std::thread([&] {
    const CpuSet one{*before.begin()};
    EXPECT_TRUE(set_thread_affinity(this_thread_id(), one));
    EXPECT_EQ(thread_affinity(this_thread_id()), one);
  }).join();
  EXPECT_EQ(this_thread_affinity(), before);
}

TEST(OsThread, is_not_placed_where_there_is_no_cpu) {
  const CpuSet before = this_thread_affinity();
  EXPECT_FALSE(set_thread_affinity(this_thread_id(), {}));
  EXPECT_FALSE(set_thread_affinity(this_thread_id(), {CpuSet::kMostCpus - 1}));
  EXPECT_EQ(this_thread_affinity(), before);
}

TEST(OsThread, that_has_ended_is_nowhere) {
  ThreadId id = 0;
  std::thread([&] { id = this_thread_id(); }).join();
  // The kernel wakes whoever joins a moment before the thread is gone.
  for (int turn = 0; turn < 10'000 && thread_affinity(id) != CpuSet(); ++turn) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(thread_affinity(id), CpuSet());
  EXPECT_FALSE(set_thread_affinity(id, this_thread_affinity()));
  EXPECT_FALSE(set_thread_priority(id, {}));
  EXPECT_EQ(thread_priority(id), OsPriority());
}

TEST(OsThread, becomes_less_urgent_and_changes_its_class_without_rights) {
  without_right_to_raise([] {
    const ThreadId self = this_thread_id();
    const int nice = thread_priority(self).nice;
    const OsPriority batch{.nice = nice + 3, .os_class = OsPriority::Class::batch};
    EXPECT_TRUE(set_thread_priority(self, batch));
    EXPECT_EQ(thread_priority(self), batch);
    EXPECT_TRUE(set_thread_priority(self, {.nice = nice + 3}));
    EXPECT_EQ(thread_priority(self), OsPriority{.nice = nice + 3});
    EXPECT_FALSE(set_thread_priority(self, {.nice = nice}));
    EXPECT_FALSE(may_raise_priority());
    EXPECT_EQ(thread_priority(self).nice, nice + 3);
  });
}

TEST(OsThread, of_another_class_keeps_it) {
  std::thread([] {
    const sched_param none{};
    ASSERT_EQ(::sched_setscheduler(0, SCHED_IDLE, &none), 0);
    EXPECT_FALSE(set_thread_priority(this_thread_id(), {.nice = 0}));
    EXPECT_EQ(::sched_getscheduler(0), SCHED_IDLE);
  }).join();
}

TEST(OsThread, asks_for_the_right_to_raise_without_leaving_a_trace) {
  std::thread([] {
    const OsPriority before = thread_priority(this_thread_id());
    may_raise_priority();
    EXPECT_EQ(thread_priority(this_thread_id()), before);
  }).join();
}

}  // namespace
}  // namespace qvl
