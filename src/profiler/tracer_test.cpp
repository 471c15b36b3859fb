#include "profiler/tracer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <map>
#include <thread>

namespace qvl {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<TraceEvent> all_events(const Tracer& tracer) {
  std::vector<TraceEvent> out;
  tracer.for_each_thread([&](const Tracer::ThreadEvents& thread) {
    out.insert(out.end(), thread.events.begin(), thread.events.end());
  });
  return out;
}

std::vector<std::string> names_of(const std::vector<TraceEvent>& events) {
  std::vector<std::string> out;
  for (const TraceEvent& event : events) out.emplace_back(event.name);
  return out;
}

std::vector<std::string> texts_of(const Tracer& tracer) {
  std::vector<std::string> out;
  for (const Tracer::Instant& instant : tracer.instants()) out.push_back(instant.text);
  return out;
}

TEST(Tracer, records_zones_counters_and_instants) {
  Tracer tracer;
  tracer.enable();
  const int64_t before = steady_ns();
  {
    const Zone outer(&tracer, "vision", 7);
    const Zone inner(&tracer, "block");
  }
  tracer.counter("threads", 4);
  tracer.instant("control", "threads 4 -> 2: foreign load 1.7");
  const int64_t after = steady_ns();

  const auto events = all_events(tracer);
  ASSERT_THAT(names_of(events), ElementsAre("block", "vision", "threads"));
  const TraceEvent &inner = events[0], &outer = events[1];
  EXPECT_EQ(outer.request, 7U);
  EXPECT_EQ(inner.request, std::nullopt);
  EXPECT_LE(before, outer.begin_ns);
  EXPECT_LE(outer.begin_ns, inner.begin_ns);
  EXPECT_LE(inner.begin_ns, inner.end_ns);
  EXPECT_LE(inner.end_ns, outer.end_ns);
  EXPECT_LE(outer.end_ns, after);
  EXPECT_EQ(events[2].kind, TraceKind::counter);
  EXPECT_EQ(events[2].value, 4);
  const auto instants = tracer.instants();
  ASSERT_EQ(instants.size(), 1);
  EXPECT_STREQ(instants[0].name, "control");
  EXPECT_EQ(instants[0].text, "threads 4 -> 2: foreign load 1.7");
  EXPECT_EQ(instants[0].thread, ::gettid());
  EXPECT_LE(outer.end_ns, instants[0].time_ns);
  EXPECT_LE(instants[0].time_ns, after);
  EXPECT_EQ(tracer.lost(), 0U);
}

TEST(Tracer, records_nothing_while_it_is_off_or_null) {
  Tracer tracer;
  const auto use = [](Tracer* used) {
    { const Zone zone(used, "a"); }
    if (used == nullptr) return;
    used->zone("b", 1, 2);
    used->counter("c", 1);
    used->instant("d", "e");
  };
  use(nullptr);
  use(&tracer);
  tracer.enable();
  {
    const Zone open_at_the_end(&tracer, "f");
    tracer.disable();
  }
  use(&tracer);
  EXPECT_THAT(all_events(tracer), IsEmpty());
  EXPECT_THAT(texts_of(tracer), IsEmpty());
  EXPECT_EQ(tracer.lost(), 0U);
}

TEST(Tracer, keeps_instants_however_many_zones_follow) {
  Tracer tracer({.events_per_thread = 4, .most_instants = 3});
  tracer.enable();
  tracer.instant("adaptation", "first");
  for (int i = 0; i < 1000; ++i) tracer.zone("step", i, i + 1);
  EXPECT_THAT(texts_of(tracer), ElementsAre("first"));
  EXPECT_EQ(tracer.lost(), 996U);
  std::thread([&] {
    for (const char* text : {"second", "third", "fourth"}) tracer.instant("memory", text);
  }).join();
  EXPECT_THAT(texts_of(tracer), ElementsAre("second", "third", "fourth"));
  EXPECT_EQ(tracer.lost(), 997U);
  tracer.disable();
  tracer.enable();  // a new trace
  EXPECT_THAT(texts_of(tracer), IsEmpty());
  EXPECT_EQ(tracer.lost(), 0U);
}

TEST(Tracer, leaves_the_middle_of_long_texts_out_between_characters) {
  Tracer tracer;
  tracer.enable();
  const std::string longest = std::string(1023, 'a') + 'z';
  tracer.instant("i", longest);
  tracer.instant("i", "from " + longest + " to");
  tracer.instant("i", std::string(508, 'a') + "\xF0\x9F\x98\x80" + std::string(600, 'b'));
  tracer.instant("i", std::string(600, 'a') + "\xF0\x9F\x98\x80" + std::string(507, 'b'));
  tracer.instant("i", std::string(2000, '\x80'));  // no character begins there
  EXPECT_THAT(texts_of(tracer),
              ElementsAre(longest, "from " + std::string(504, 'a') + " ... " + std::string(505, 'a') + "z to",
                          std::string(508, 'a') + " ... " + std::string(509, 'b'),
                          std::string(509, 'a') + " ... " + std::string(507, 'b'), " ... "));
}

TEST(Tracer, begins_a_new_trace_when_it_is_switched_on) {
  Tracer tracer({.events_per_thread = 4});
  tracer.enable();
  for (int i = 0; i < 9; ++i) tracer.counter("old", i);
  EXPECT_EQ(tracer.lost(), 5U);
  tracer.enable();  // is on: goes on
  EXPECT_EQ(all_events(tracer).size(), 4);
  tracer.disable();
  EXPECT_EQ(all_events(tracer).size(), 4);  // to be written
  tracer.enable();
  EXPECT_EQ(tracer.lost(), 0U);
  tracer.counter("new", 1);
  EXPECT_THAT(names_of(all_events(tracer)), ElementsAre("new"));
}

TEST(Tracer, takes_no_values_that_are_no_numbers_and_no_time_backwards) {
  Tracer tracer;
  tracer.enable();
  tracer.counter("x", NAN);
  tracer.counter("x", INFINITY);
  tracer.zone("z", 10, 5);
  const auto events = all_events(tracer);
  ASSERT_THAT(names_of(events), ElementsAre("z"));
  EXPECT_EQ(events[0].end_ns, 10);
}

TEST(Tracer, keeps_the_events_of_each_thread_under_its_name) {
  Tracer tracer;
  tracer.name_thread("main");
  tracer.enable();
  tracer.counter("a", 1);
  std::thread([&] {
    tracer.name_thread("worker 1");
    tracer.counter("b", 2);
  }).join();
  std::thread([&] { tracer.counter("c", 3); }).join();
  std::map<std::string, std::vector<std::string>> found;
  std::vector<int64_t> threads;
  tracer.for_each_thread([&](const Tracer::ThreadEvents& thread) {
    found[thread.name] = names_of(thread.events);
    threads.push_back(thread.thread);
  });
  EXPECT_THAT(found["main"], ElementsAre("a"));
  EXPECT_THAT(found["worker 1"], ElementsAre("b"));
  EXPECT_THAT(found[""], ElementsAre("c"));
  ASSERT_EQ(threads.size(), 3);
  EXPECT_NE(threads[0], threads[1]);
  EXPECT_NE(threads[1], threads[2]);
}

TEST(Tracer, passes_rings_of_ended_threads_on_and_counts_what_is_lost) {
  Tracer tracer({.events_per_thread = 8, .most_threads = 2});
  tracer.enable();
  tracer.counter("main", 0);
  for (int i = 0; i < 3; ++i) {
    std::thread([&] {
      for (int n = 0; n < 3; ++n) tracer.counter("short", n);
    }).join();
  }
  EXPECT_THAT(names_of(all_events(tracer)), ElementsAre("main", "short", "short", "short"));
  EXPECT_EQ(tracer.lost(), 6U);
}

TEST(Tracer, loses_the_events_of_threads_beyond_the_most) {
  Tracer tracer({.most_threads = 1});
  tracer.enable();
  tracer.counter("main", 0);
  std::thread([&] {
    tracer.name_thread("late");
    tracer.counter("late", 1);
    tracer.counter("late", 2);
  }).join();
  EXPECT_THAT(names_of(all_events(tracer)), ElementsAre("main"));
  EXPECT_EQ(tracer.lost(), 2U);
}

TEST(Tracer, may_end_before_its_threads_and_after_them) {
  auto first = std::make_unique<Tracer>();
  first->enable();
  first->counter("a", 1);
  Tracer second;
  second.enable();
  second.counter("b", 2);
  first->counter("a", 3);  // back to the first one's ring
  EXPECT_THAT(names_of(all_events(*first)), ElementsAre("a", "a"));
  std::atomic<int> step{0};
  std::thread thread([&] {
    first->counter("c", 1);
    step = 1;
    while (step != 2) std::this_thread::yield();
    second.counter("d", 4);  // lets go of the ring of the first
  });
  while (step != 1) std::this_thread::yield();
  first.reset();
  step = 2;
  thread.join();
  second.counter("b", 5);
  EXPECT_THAT(names_of(all_events(second)), ElementsAre("b", "b", "d"));
}

TEST(Tracer, is_written_by_many_threads_while_it_is_read_and_switched) {
  Tracer tracer({.events_per_thread = 256, .most_threads = 8});
  tracer.enable();
  std::atomic<int> running{4};
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5000; ++i) {
        const Zone zone(&tracer, "zone", t);
        tracer.counter("counter", static_cast<double>(t));
      }
      --running;
    });
  }
  for (int round = 0; running > 0; ++round) {
    tracer.for_each_thread([](const Tracer::ThreadEvents& thread) {
      std::optional<double> owner;
      for (const TraceEvent& event : thread.events) {
        const double t = event.kind == TraceKind::zone ? static_cast<double>(*event.request) : event.value;
        EXPECT_EQ(owner.value_or(t), t);  // a ring has one writer
        owner = t;
      }
    });
    if (round % 5 == 4) {
      tracer.disable();
      tracer.enable();
    }
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(all_events(tracer).size(), 4U * 256);
}

}  // namespace
}  // namespace qvl
