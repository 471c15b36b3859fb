#include "threads/caller_placement.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "threads/thread_faults.h"

namespace qvl {
namespace {

TEST(CallerPlacement, puts_the_thread_back) {
  std::thread([] {
    const CpuSet own = this_thread_affinity();
    const OsPriority priority = thread_priority(this_thread_id());
    const CpuSet one{*own.begin()};
    {
      CallerPlacement placement;
      EXPECT_TRUE(placement.place(one));
      EXPECT_TRUE(placement.prioritise({.nice = priority.nice, .os_class = OsPriority::Class::batch}));
      EXPECT_EQ(this_thread_affinity(), one);
      EXPECT_EQ(thread_priority(this_thread_id()).os_class, OsPriority::Class::batch);
      EXPECT_EQ(placement.moved_to(), std::nullopt);
    }
    EXPECT_EQ(this_thread_affinity(), own);
    EXPECT_EQ(thread_priority(this_thread_id()), priority);
  }).join();
}

TEST(CallerPlacement, does_not_lower_what_it_could_not_raise_again) {
  without_right_to_raise([] {
    const OsPriority own = thread_priority(this_thread_id());
    CallerPlacement placement;
    EXPECT_FALSE(placement.prioritise({.nice = own.nice + 5, .os_class = OsPriority::Class::batch}));
    EXPECT_EQ(thread_priority(this_thread_id()),
              (OsPriority{.nice = own.nice, .os_class = OsPriority::Class::batch}));
  });
}

TEST(CallerPlacement, restores_every_priority_with_the_right_to_raise) {
  if (!may_raise_priority()) GTEST_SKIP() << "this user may not raise priorities";
  std::thread([] {
    const OsPriority own = thread_priority(this_thread_id());
    for (int nice : {own.nice - 1, std::min(own.nice + 1, 19)}) {
      {
        CallerPlacement placement;
        EXPECT_TRUE(placement.prioritise({.nice = nice}));
        EXPECT_EQ(thread_priority(this_thread_id()).nice, nice);
      }
      EXPECT_EQ(thread_priority(this_thread_id()), own);
    }
  }).join();
}

TEST(CallerPlacement, tells_where_somebody_else_has_put_the_thread) {
  const CpuSet own = this_thread_affinity();
  if (own.size() < 2) GTEST_SKIP() << "needs two processors";
  const CpuSet first{*own.begin()}, second{*std::next(own.begin())};
  std::thread([&] {
    {
      CallerPlacement placement;
      placement.place(first);
      set_thread_affinity(this_thread_id(), second);
      EXPECT_EQ(placement.moved_to(), second);
      placement.return_to(second);
    }
    EXPECT_EQ(this_thread_affinity(), second);
  }).join();
}

}  // namespace
}  // namespace qvl
