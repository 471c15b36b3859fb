#include "memory/cleaner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "base/fake_system.h"
#include "memory/memory_testing.h"
#include "memory/process_memory.h"

namespace qvl {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;

MemoryPressure some(double percent) { return {.some_avg10 = percent, .full_avg10 = 0.0}; }
MemoryPressure available(uint64_t bytes) { return {.available_bytes = bytes, .total_bytes = 10 * kGiB}; }

TEST(CleanupSchedule, is_due_after_every_interval) {
  CleanupSchedule schedule(3);
  for (int round = 0; round < 4; ++round) {
    EXPECT_FALSE(schedule.after_operation({}));
    EXPECT_FALSE(schedule.after_operation({}));
    const auto order = schedule.after_operation({});
    ASSERT_TRUE(order.has_value());
    EXPECT_EQ(order->cause, CleanupCause::interval);
    EXPECT_EQ(order->wanted_bytes, 0u);
    EXPECT_EQ(order->why, "3 operations");
  }
  EXPECT_EQ(CleanupSchedule(1).after_operation({})->why, "1 operation");
}

TEST(CleanupSchedule, is_due_under_pressure_alone_without_an_interval) {
  CleanupSchedule schedule(std::nullopt);
  for (int operation = 0; operation < 1000; ++operation) EXPECT_FALSE(schedule.after_operation({}));
  EXPECT_EQ(schedule.after_operation(some(20))->cause, CleanupCause::pressure);
  EXPECT_FALSE(schedule.after_operation(some(20)));
  schedule.set_interval(2);
  EXPECT_EQ(schedule.after_operation(some(20))->cause, CleanupCause::pressure);
  EXPECT_FALSE(schedule.after_operation({}));
  EXPECT_EQ(schedule.after_operation({})->why, "2 operations");
}

TEST(CleanupSchedule, begins_the_interval_anew_after_any_clean_up) {
  CleanupSchedule schedule(3);
  EXPECT_FALSE(schedule.after_operation({}));
  EXPECT_FALSE(schedule.after_operation({}));
  schedule.cleaned();
  EXPECT_FALSE(schedule.after_operation({}));
  EXPECT_EQ(schedule.after_operation(some(20))->cause, CleanupCause::pressure);
  EXPECT_FALSE(schedule.after_operation(some(20)));
  EXPECT_FALSE(schedule.after_operation(some(20)));
  EXPECT_EQ(schedule.after_operation(some(20))->cause, CleanupCause::pressure);
}

TEST(CleanupSchedule, begins_pressure_at_the_upper_mark_and_ends_it_at_the_lower) {
  struct Step {
    MemoryPressure pressure;
    bool pressed, cleans;
  };
  const std::vector<std::vector<Step>> courses = {
      {{some(10), false, false},
       {some(10.1), true, true},
       {some(6), true, false},
       {some(12), true, false},
       {some(5), false, false},
       {some(9), false, false},
       {some(11), true, true}},
      {{{.full_avg10 = 2.0}, false, false},
       {{.full_avg10 = 2.5}, true, true},
       {{.full_avg10 = 0.6}, true, false},
       {{.full_avg10 = 0.5}, false, false}},
      {{available(kGiB / 2), false, false},
       {available(kGiB / 2 - 1), true, true},
       {available(kGiB - 1), true, false},
       {available(kGiB), false, false}},
      {{some(20), true, true}, {{}, false, false}},
  };
  for (const auto& course : courses) {
    CleanupSchedule schedule(1000);
    for (size_t i = 0; i < course.size(); ++i) {
      EXPECT_EQ(schedule.after_operation(course[i].pressure).has_value(), course[i].cleans) << i;
      EXPECT_EQ(schedule.pressed(), course[i].pressed) << i;
    }
  }
}

TEST(CleanupSchedule, cleans_up_in_the_middle_of_an_operation_when_pressure_begins_and_only_then) {
  CleanupSchedule schedule(2);
  EXPECT_FALSE(schedule.during_operation({}));
  EXPECT_EQ(schedule.during_operation(some(20))->cause, CleanupCause::pressure);
  EXPECT_TRUE(schedule.pressed());
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(schedule.during_operation(some(20)));
  EXPECT_FALSE(schedule.after_operation(some(20)));
  EXPECT_EQ(schedule.after_operation(some(20))->cause, CleanupCause::pressure);  // two operations
  EXPECT_FALSE(schedule.during_operation(some(1)));
  EXPECT_FALSE(schedule.pressed());
  EXPECT_FALSE(schedule.after_operation({}));
}

TEST(CleanupSchedule, wants_what_is_missing_to_the_mark_where_pressure_ends) {
  const auto order_for = [](const MemoryPressure& pressure) {
    return CleanupSchedule(1000).after_operation(pressure).value_or(CleanupOrder{});
  };
  EXPECT_EQ(order_for(available(kGiB / 4)).wanted_bytes, 3 * kGiB / 4);
  EXPECT_EQ(order_for(available(kGiB / 4)).why, "256.0 MiB of 10.0 GiB available");
  EXPECT_EQ(order_for(some(12.34)).wanted_bytes, CleanupSchedule::kPressureStep);
  EXPECT_EQ(order_for(some(12.34)).why, "some 12.3 % of the last 10 s");
  EXPECT_EQ(order_for({.some_avg10 = 50.0, .full_avg10 = 8.0}).why, "full 8.0 % of the last 10 s");
  MemoryPressure waiting_only = available(9 * kGiB);
  waiting_only.some_avg10 = 30;
  EXPECT_EQ(order_for(waiting_only).wanted_bytes, CleanupSchedule::kPressureStep);
}

class CleanerTest : public testing::Test {
 protected:
  CleanerTest() {
    system_files_.write("/proc/self/statm", "1000 500 0 0 0 0 0\n");
    for (int i = 0; i < 4; ++i) cached_.push_back(*ledger_.reserve(MemoryPart::caches, kMiB));
  }
  void keep_a_block() { PooledBlock block = *pool_.allocate(2 * kMiB, MemoryPart::vision); }
  uint64_t evict(uint64_t wanted) {
    uint64_t released = 0;
    for (; released < wanted && !cached_.empty(); released += kMiB) cached_.erase(cached_.begin());
    return released;
  }

  FakeSystem system_files_;
  Ledger ledger_{16 * kMiB};
  CountedMemory system_;
  TensorPool pool_{ledger_, system_, 16 * kMiB};
  std::vector<Reservation> cached_;
  Reclaimers::Registration cache_ =
      ledger_.reclaimers().add(ReclaimStage::caches, [this](uint64_t wanted) { return evict(wanted); });
  Cleaner cleaner_{ledger_, pool_, system_files_.files(), CleanupSchedule(2)};
};

TEST_F(CleanerTest, leaves_the_caches_at_an_interval_and_takes_what_lies_idle) {
  keep_a_block();
  EXPECT_FALSE(cleaner_.after_operation({}).has_value());
  const auto first = cleaner_.after_operation({});
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->describe(), "interval (2 operations): caches 0 B, pool 0 B, heap 0 B");
  EXPECT_EQ(pool_.stats().kept_bytes, 2 * kMiB);  // used since the clean-up before
  cleaner_.after_operation({});
  EXPECT_EQ(cleaner_.after_operation({})->describe(),
            "interval (2 operations): caches 0 B, pool 2.0 MiB, heap 0 B");
  EXPECT_EQ(cached_.size(), 4u);
}

TEST_F(CleanerTest, takes_caches_first_then_the_pool_under_pressure) {
  keep_a_block();
  const auto report = cleaner_.after_operation(some(20));
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->describe(),
            "pressure (some 20.0 % of the last 10 s): caches 4.0 MiB, pool 2.0 MiB, heap 0 B");
  EXPECT_TRUE(cleaner_.pressed());
  EXPECT_TRUE(cached_.empty());
  EXPECT_EQ(system_.bytes(), 0u);
}

TEST_F(CleanerTest, takes_no_more_of_caches_and_pool_than_was_wanted) {
  keep_a_block();
  EXPECT_EQ(cleaner_.clean_up(3 * kMiB).describe(),
            "demand (3.0 MiB wanted): caches 3.0 MiB, pool 0 B, heap 0 B");
  EXPECT_EQ(cached_.size(), 1u);
  EXPECT_EQ(pool_.stats().kept_bytes, 2 * kMiB);
  EXPECT_EQ(cleaner_.clean_up(2 * kMiB).describe(),
            "demand (2.0 MiB wanted): caches 1.0 MiB, pool 2.0 MiB, heap 0 B");
  EXPECT_EQ(cleaner_.clean_up(kMiB).describe(), "demand (1.0 MiB wanted): caches 0 B, pool 0 B, heap 0 B");
}

// Memory that was freed below one that was not: the heap of the C library keeps it until it is trimmed.
// Sanitizers have heaps of their own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
std::unique_ptr<char[]> leave_holes_in_the_heap() {
  std::vector<std::unique_ptr<char[]>> blocks(1024);
  for (auto& block : blocks) {
    block = std::make_unique<char[]>(64 * 1024);  // written: zeros
  }
  return std::make_unique<char[]>(64 * 1024);
}

TEST_F(CleanerTest, gives_back_freed_memory_of_the_heap_and_says_how_much) {
  const auto above = leave_holes_in_the_heap();
  Cleaner cleaner(ledger_, pool_, SystemFiles(), CleanupSchedule(1));
  EXPECT_GT(cleaner.after_operation({})->freed.heap, 32 * kMiB);
}

TEST_F(CleanerTest, trims_the_heap_before_the_ledger_refuses) {
  const auto weights = ledger_.reserve(MemoryPart::weights, 8 * kMiB);
  const auto above = leave_holes_in_the_heap();
  const uint64_t before = resident_memory(SystemFiles())->rss;
  EXPECT_FALSE(ledger_.reserve(MemoryPart::kv, 9 * kMiB));
  EXPECT_TRUE(cached_.empty());
  EXPECT_LT(resident_memory(SystemFiles())->rss + 32 * kMiB, before);
}
#endif

}  // namespace
}  // namespace qvl
