#include "profiler/system_profiler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <ctime>
#include <functional>
#include <memory>
#include <new>
#include <thread>

#include "base/error.h"
#include "base/fake_system.h"
#include "profiler/steady_clock.h"

namespace qvl {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

// Samples with a number in place of a measurement; a test decides what happens while one is taken.
class NumberedSource final : public SampleSource {
 public:
  explicit NumberedSource(std::function<void(int)> before_each = [](int) {})
      : before_each_(std::move(before_each)) {}
  Sample read(int64_t time_ns) override {
    before_each_(next_);
    Sample sample{.time_ns = time_ns};
    sample.temperatures.push_back({.name = "number", .celsius = static_cast<double>(next_++), .limit_c = {}});
    return sample;
  }

 private:
  std::function<void(int)> before_each_;
  int next_ = 0;
};

int number_of(const SystemProfiler::SamplePtr& sample) {
  return static_cast<int>(sample->temperatures.at(0).celsius);
}

// Polls: what is waited for always comes, however slow the machine is.
void wait_until(const std::function<bool()>& condition) {
  while (!condition()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

constexpr double kShort = 0.05, kNever = 3600;

TEST(SystemProfiler, samples_on_demand_without_a_thread) {
  SystemProfiler profiler({}, std::make_unique<NumberedSource>());
  EXPECT_EQ(profiler.latest(), nullptr);
  EXPECT_THAT(profiler.history(), IsEmpty());
  EXPECT_FALSE(profiler.running());
  EXPECT_EQ(number_of(profiler.sample_now()), 0);
  EXPECT_EQ(number_of(profiler.sample_now()), 1);
  EXPECT_EQ(number_of(profiler.latest()), 1);
  ASSERT_THAT(profiler.history(), SizeIs(2));
  EXPECT_EQ(number_of(profiler.history()[0]), 0);
  EXPECT_LT(profiler.history()[0]->time_ns, profiler.history()[1]->time_ns);
  EXPECT_EQ(profiler.cost().samples, 2U);
}

TEST(SystemProfiler, keeps_no_more_samples_than_asked) {
  SystemProfiler profiler({.history = 3}, std::make_unique<NumberedSource>());
  for (int i = 0; i < 10; ++i) profiler.sample_now();
  const auto history = profiler.history();
  ASSERT_THAT(history, SizeIs(3));
  EXPECT_EQ(number_of(history[0]), 7);
  EXPECT_EQ(number_of(history[2]), 9);
  EXPECT_EQ(profiler.cost().samples, 10U);
}

TEST(SystemProfiler, keeps_no_more_bytes_than_asked_but_always_the_latest) {
  SystemProfiler profiler({.history = 1000, .history_bytes = 4096}, std::make_unique<NumberedSource>());
  for (int i = 0; i < 100; ++i) profiler.sample_now();
  const auto history = profiler.history();
  const size_t each = bytes_of(*history[0]);
  EXPECT_THAT(history, SizeIs(4096 / each));
  EXPECT_EQ(number_of(history.back()), 99);

  class Large final : public SampleSource {
    Sample read(int64_t) override {
      Sample sample;
      sample.frequencies.resize(4096);
      return sample;
    }
  };
  SystemProfiler large({.history_bytes = 4096}, std::make_unique<Large>());
  large.sample_now();
  large.sample_now();
  EXPECT_THAT(large.history(), SizeIs(1));
}

TEST(SystemProfiler, leaves_a_sample_to_those_who_hold_it) {
  SystemProfiler profiler({.history = 1}, std::make_unique<NumberedSource>());
  const auto held = profiler.sample_now();
  for (int i = 0; i < 5; ++i) profiler.sample_now();
  EXPECT_EQ(number_of(held), 0);
}

TEST(SystemProfiler, samples_at_its_interval_from_start_to_stop) {
  SystemProfiler profiler({.interval_s = kShort}, std::make_unique<NumberedSource>());
  const int64_t started_ns = steady_ns();
  EXPECT_TRUE(profiler.start());
  EXPECT_TRUE(profiler.start());
  EXPECT_TRUE(profiler.running());
  wait_until([&] { return profiler.cost().samples >= 3; });
  profiler.stop();
  profiler.stop();
  EXPECT_FALSE(profiler.running());
  const auto samples = profiler.cost().samples;
  const auto history = profiler.history();
  ASSERT_THAT(history, SizeIs(samples));
  for (size_t i = 1; i < history.size(); ++i) {
    EXPECT_EQ(number_of(history[i]), static_cast<int>(i));
    EXPECT_GE(history[i]->time_ns - started_ns,
              static_cast<int64_t>(i) * 50'000'000);  // late at times, never early
  }
}

TEST(SystemProfiler, tells_its_listener_of_each_sample_and_survives_what_that_throws) {
  std::vector<int> told;
  SystemProfiler profiler({.interval_s = kShort}, std::make_unique<NumberedSource>());
  profiler.start([&](const Sample& sample) {
    told.push_back(static_cast<int>(sample.temperatures.at(0).celsius));
    if (told.size() == 1) throw std::runtime_error("the disk is full");
  });
  wait_until([&] { return profiler.cost().samples >= 3; });
  profiler.stop();
  EXPECT_EQ(profiler.cost().failed, 1);
  ASSERT_THAT(told, SizeIs(profiler.cost().samples));
  for (size_t i = 0; i < told.size(); ++i) EXPECT_EQ(told[i], static_cast<int>(i));
}

TEST(SystemProfiler, starts_again_after_it_was_stopped_and_keeps_its_history) {
  SystemProfiler profiler({.interval_s = kNever}, std::make_unique<NumberedSource>());
  for (uint64_t round = 1; round <= 5; ++round) {
    ASSERT_TRUE(profiler.start());
    wait_until([&] { return profiler.cost().samples == round; });  // the first sample comes at once
    profiler.stop();                                               // and does not wait for the next
  }
  EXPECT_THAT(profiler.history(), SizeIs(5));
}

TEST(SystemProfiler, ends_when_it_is_destroyed_while_running) {
  std::atomic<int> taken{0};
  {
    SystemProfiler profiler({.interval_s = kShort}, std::make_unique<NumberedSource>([&](int) { ++taken; }));
    profiler.start();
    wait_until([&] { return taken > 0; });
  }
  const int after = taken;
  std::this_thread::sleep_for(std::chrono::milliseconds(120));
  EXPECT_EQ(taken, after);
}

TEST(SystemProfiler, lets_readers_pass_while_a_sample_is_taken) {
  std::atomic<bool> taking{false}, go_on{false};
  SystemProfiler profiler({.interval_s = kNever}, std::make_unique<NumberedSource>([&](int number) {
                            if (number == 0) return;
                            taking = true;
                            wait_until([&] { return go_on.load(); });
                          }));
  profiler.sample_now();
  profiler.start();
  wait_until([&] { return taking.load(); });
  // Were these to wait for the sample, they would do so for ever.
  EXPECT_EQ(number_of(profiler.latest()), 0);
  EXPECT_THAT(profiler.history(), SizeIs(1));
  EXPECT_EQ(profiler.cost().samples, 1U);
  go_on = true;
  wait_until([&] { return profiler.cost().samples == 2; });
  profiler.stop();
}

TEST(SystemProfiler, goes_on_after_a_sample_that_memory_was_missing_for) {
  SystemProfiler profiler({.interval_s = kShort},
                          std::make_unique<NumberedSource>([failures = 0](int) mutable {
                            if (failures++ < 2) throw std::bad_alloc();
                          }));
  EXPECT_THROW(profiler.sample_now(), std::bad_alloc);
  profiler.start();
  wait_until([&] { return profiler.cost().samples > 0; });
  profiler.stop();
  EXPECT_EQ(profiler.cost().failed, 1U);
}

TEST(SystemProfiler, counts_the_processor_time_of_its_samples) {
  const auto work = [](int) {
    const auto begin = std::clock();  // processor time of the process, which this thread alone uses
    while (std::clock() - begin < CLOCKS_PER_SEC / 100) {
    }
  };
  SystemProfiler profiler({}, std::make_unique<NumberedSource>(work));
  const auto first = profiler.sample_now(), second = profiler.sample_now();
  EXPECT_GE(first->cost_ns, 9'000'000);
  const ProfilerCost cost = profiler.cost();
  EXPECT_DOUBLE_EQ(cost.cpu_s,
                   static_cast<double>(first->cost_ns) * 1e-9 + static_cast<double>(second->cost_ns) * 1e-9);
  EXPECT_DOUBLE_EQ(cost.longest_s, static_cast<double>(std::max(first->cost_ns, second->cost_ns)) * 1e-9);
}

TEST(SystemProfiler, may_be_used_by_many_threads_at_once) {
  SystemProfiler profiler({.interval_s = kShort, .history = 16}, std::make_unique<NumberedSource>());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&profiler, t] {
      for (int i = 0; i < 200; ++i) {
        if (t == 0) profiler.start();
        if (t == 1) profiler.sample_now();
        if (t == 2 && i % 8 == 0) profiler.stop();
        if (const auto latest = profiler.latest()) {
          EXPECT_GE(number_of(latest), 0);
        }
        const auto history = profiler.history();
        EXPECT_LE(history.size(), 16U);
        for (size_t n = 1; n < history.size(); ++n)
          EXPECT_EQ(number_of(history[n]), number_of(history[n - 1]) + 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  profiler.stop();
  EXPECT_GE(profiler.cost().samples, 200U);
}

TEST(SystemProfiler, reads_the_machine_it_is_given) {
  FakeSystem system;
  system.write("/proc/meminfo", "MemTotal: 7 kB\n");
  SystemProfiler profiler({.profile_compute = false}, system.files());
  const auto sample = profiler.sample_now();
  EXPECT_EQ(sample->memory->total_bytes, 7 * 1024);
  EXPECT_THAT(sample->gpus, IsEmpty());
}

TEST(SystemProfiler, refuses_options_out_of_their_range) {
  const auto message_of = [](const ProfilerOptions& options) -> std::string {
    try {
      SystemProfiler(options, std::make_unique<NumberedSource>());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::usage);
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(message_of({.interval_s = 0.001}),
            "profile_interval: found 0.001, expected seconds from 0.01 to 3600");
  EXPECT_EQ(message_of({.interval_s = 4000}),
            "profile_interval: found 4000, expected seconds from 0.01 to 3600");
  EXPECT_EQ(message_of({.interval_s = NAN}),
            "profile_interval: found nan, expected seconds from 0.01 to 3600");
  EXPECT_EQ(message_of({.history = 0}), "history: found 0, expected samples from 1 to 100000");
  EXPECT_EQ(message_of({.history = 100'001}), "history: found 100001, expected samples from 1 to 100000");
  EXPECT_EQ(message_of({.history_bytes = 4095}), "history_bytes: found 4095, expected at least 4096");
  EXPECT_EQ(message_of({}), "no error");
}

}  // namespace
}  // namespace qvl
