#include "profiler/trace_ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

namespace qvl {
namespace {

TraceEvent numbered_event(uint64_t number) {
  TraceEvent event;
  event.kind = TraceKind::zone;
  event.name = "n";
  event.begin_ns = static_cast<int64_t>(number);
  event.end_ns = static_cast<int64_t>(number) * 3;
  event.request = number * 7;
  return event;
}

// Whether all fields belong to one event.
bool is_whole(const TraceEvent& event) {
  const auto number = static_cast<uint64_t>(event.begin_ns);
  return event.end_ns == event.begin_ns * 3 && event.request == number * 7;
}

TEST(TraceRing, gives_back_what_was_pushed) {
  TraceRing ring(8);
  ring.push(numbered_event(5));
  TraceEvent counter;
  counter.kind = TraceKind::counter;
  counter.name = "threads";
  counter.begin_ns = 9;
  counter.value = -2.5;
  ring.push(counter);
  const auto events = ring.read();
  ASSERT_EQ(events.size(), 2);
  EXPECT_TRUE(is_whole(events[0]));
  EXPECT_STREQ(events[0].name, "n");
  EXPECT_EQ(events[1].kind, TraceKind::counter);
  EXPECT_STREQ(events[1].name, "threads");
  EXPECT_EQ(events[1].value, -2.5);
  EXPECT_EQ(events[1].request, std::nullopt);
}

TEST(TraceRing, overwrites_the_oldest_and_counts_them) {
  TraceRing ring(5);  // rounded up to 8
  for (uint64_t i = 0; i < 20; ++i) ring.push(numbered_event(i));
  const auto events = ring.read();
  ASSERT_EQ(events.size(), 8);
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(events[i].begin_ns, static_cast<int64_t>(12 + i));
  EXPECT_EQ(ring.lost(), 12U);
  EXPECT_EQ(ring.pushed(), 20U);
}

TEST(TraceRing, forgets_what_was_before) {
  TraceRing ring(4);
  for (uint64_t i = 0; i < 9; ++i) ring.push(numbered_event(i));
  ring.forget();
  EXPECT_TRUE(ring.read().empty());
  EXPECT_EQ(ring.lost(), 0U);
  ring.push(numbered_event(77));
  ASSERT_EQ(ring.read().size(), 1);
  EXPECT_EQ(ring.read()[0].begin_ns, 77);
}

// Small rings are overwritten while they are read.
TEST(TraceRing, shows_readers_whole_events_in_order_while_it_is_written) {
  constexpr uint64_t kEvents = 3'000'000;
  for (const size_t capacity : {1, 64}) {
    TraceRing ring(capacity);
    std::thread writer([&] {
      for (uint64_t i = 0; i < kEvents; ++i) ring.push(numbered_event(i));
    });
    for (int64_t last = -1; last + 1 < static_cast<int64_t>(kEvents);) {
      int64_t previous = -1;
      for (const TraceEvent& event : ring.read()) {
        EXPECT_TRUE(is_whole(event));
        EXPECT_GT(event.begin_ns, previous);
        previous = event.begin_ns;
      }
      last = std::max(last, previous);
    }
    writer.join();
    EXPECT_EQ(ring.lost(), kEvents - capacity);
  }
}

}  // namespace
}  // namespace qvl
