#include "scheduler/control_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace qvl::scheduling {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t kSecond = 1'000'000, kPeriod = kSecond / 2;
constexpr uint64_t kMiB = 1 << 20;

std::vector<std::string> texts(const ControlLoop& loop) {
  std::vector<std::string> out;
  for (const Change& change : loop.changes()) out.push_back(change.text);
  return out;
}

// Processors that the kernel's fair scheduler shares between busy programs and our threads.
struct SharedMachine {
  int cpus = 2;
  int programs = 0;           // at most `cpus`
  int awake_permille = 1000;  // of the time they could have, our threads use: they sleep at barriers

  // In permille of a processor: a thread beside a program has half of it.
  int own(int threads) const {
    const int alone = std::clamp(cpus - programs, 0, threads);
    return awake_permille * alone + awake_permille * (threads - alone) / 2;
  }
  int foreign(int threads) const {
    const int shared = threads - std::clamp(cpus - programs, 0, threads);
    return 1000 * programs - awake_permille * shared / 2;
  }
};

// A loop on such a machine, with measurements that are off by some per cent.
class LoopRun {
 public:
  explicit LoopRun(const ControlOptions& options) : loop(options) {}

  const Adjustment& go(const SharedMachine& machine, int64_t for_us) {
    for (const int64_t end_us = now_us + for_us; now_us < end_us; now_us += kPeriod) {
      adjustment = loop.update({.now_us = now_us,
                                .cpus = machine.cpus,
                                .own_permille = noisy(machine.own(adjustment.threads)),
                                .foreign_permille = noisy(machine.foreign(adjustment.threads))});
    }
    return adjustment;
  }

  ControlLoop loop;
  Adjustment adjustment{.threads = 1};
  int64_t now_us = 0;

 private:
  int noisy(int permille) { return permille * (960 + static_cast<int>(numbers_() % 81)) / 1000; }
  std::mt19937 numbers_{5};
};

TEST(ForeignDemand, is_found_from_shares_on_processors_that_are_shared) {
  struct Case {
    CpuShares shares;
    int demand_permille;
  };
  for (const Case& c : {
           Case{{.cpus = 2, .threads = 2, .own_permille = 2000, .foreign_permille = 0}, 0},
           Case{{.cpus = 2, .threads = 2, .own_permille = 1000, .foreign_permille = 1000}, 2000},
           Case{{.cpus = 2, .threads = 2, .own_permille = 1500, .foreign_permille = 500}, 1000},
           Case{{.cpus = 2, .threads = 1, .own_permille = 1000, .foreign_permille = 1000}, 1000},
           Case{{.cpus = 2, .threads = 1, .own_permille = 500, .foreign_permille = 1500}, 2000},
           // We sleep: what the others use is what they want.
           Case{{.cpus = 2, .threads = 2, .own_permille = 0, .foreign_permille = 1000}, 1000},
           Case{{.cpus = 2, .threads = 2, .own_permille = 700, .foreign_permille = 1300}, 2000},
           // Counters that lie.
           Case{{.cpus = 2, .threads = 2, .own_permille = -5, .foreign_permille = 9999}, 2000},
           Case{{.cpus = 2, .threads = 9, .own_permille = 100, .foreign_permille = -3}, 0},
       }) {
    EXPECT_EQ(foreign_demand_permille(c.shares), c.demand_permille);
  }
}

TEST(ControlLoop, beside_any_foreign_load_both_sides_get_their_fair_share_and_it_stays_so) {
  for (int cpus = 1; cpus <= 8; ++cpus) {
    for (int programs = 0; programs <= cpus; ++programs) {
      for (int awake_permille : {1000, 850}) {
        SCOPED_TRACE(testing::Message()
                     << programs << " programs on " << cpus << " CPUs, awake " << awake_permille);
        const SharedMachine machine{cpus, programs, awake_permille};
        LoopRun run({.asked_threads = 8, .policy = PowerPolicy::balanced});
        const int threads = run.go(machine, 5 * kSecond).threads;
        // Half the machine each, or what the other leaves; an odd processor cannot be halved.
        const int half = 500 * (cpus - cpus % 2);
        EXPECT_GE(machine.foreign(threads), std::min(1000 * programs, half) * 90 / 100);
        EXPECT_GE(machine.own(threads), std::max(1000 * (cpus - programs), half) * awake_permille / 1000);
        const size_t changes = run.loop.changes().size();
        run.go(machine, 120 * kSecond);
        EXPECT_EQ(run.loop.changes().size(), changes) << run.loop.changes().back().text;
      }
    }
  }
}

TEST(ControlLoop, a_busy_program_on_each_of_two_cores_keeps_both_threads_and_stops_spinning) {
  LoopRun run({.asked_threads = 2, .policy = PowerPolicy::balanced});
  EXPECT_EQ(run.go({.cpus = 2}, 10 * kSecond).spinning, Spinning::allowed);
  const Adjustment& loaded = run.go({.cpus = 2, .programs = 2}, 5 * kSecond);
  EXPECT_EQ(loaded.threads, 2);
  EXPECT_EQ(loaded.spinning, Spinning::off);
  const Adjustment& free = run.go({.cpus = 2}, 5 * kSecond);
  EXPECT_EQ(free.threads, 2);
  EXPECT_EQ(free.spinning, Spinning::allowed);
  EXPECT_EQ(free.prefill_chunk, 256u);
}

TEST(ControlLoop, leaves_a_core_to_one_busy_program_and_takes_it_back_after) {
  LoopRun run({.asked_threads = 4, .policy = PowerPolicy::balanced});
  EXPECT_EQ(run.go({.cpus = 4}, 10 * kSecond).threads, 4);
  EXPECT_EQ(run.go({.cpus = 4, .programs = 1}, 5 * kSecond).threads, 3);
  EXPECT_EQ(run.adjustment.prefill_chunk, 192u);
  EXPECT_EQ(run.go({.cpus = 4}, 5 * kSecond).threads, 4);
  EXPECT_EQ(run.adjustment.prefill_chunk, 256u);
}

TEST(ControlLoop, performance_keeps_its_threads_but_does_not_spin_beside_others) {
  LoopRun run({.asked_threads = 4});
  const Adjustment& loaded = run.go({.cpus = 4, .programs = 2}, 5 * kSecond);
  EXPECT_EQ(loaded.threads, 4);
  EXPECT_EQ(loaded.spinning, Spinning::off);
}

TEST(ControlLoop, a_load_that_flickers_changes_nothing) {
  LoopRun run({.asked_threads = 4, .policy = PowerPolicy::balanced});
  for (int i = 0; i < 100; ++i) {
    run.go({.cpus = 4, .programs = 1}, kPeriod);
    run.go({.cpus = 4}, kPeriod);
  }
  EXPECT_THAT(texts(run.loop), IsEmpty());
}

TEST(ControlLoop, follows_a_quota_at_once_and_says_so) {
  ControlLoop loop({.asked_threads = 8});
  loop.update({.cpus = 8});
  const Adjustment& bound = loop.update({.now_us = kSecond, .cpus = 8, .quota_permille = 1000});
  EXPECT_EQ(bound.threads, 1);
  EXPECT_EQ(bound.cause,
            "threads 8 -> 1: quota 1.00 CPUs; spinning allowed -> off: quota 1.00 CPUs; "
            "prefill chunk 256 -> 32: 12.5 % of full speed");
  EXPECT_EQ(loop.update({.now_us = 2 * kSecond, .cpus = 8, .quota_permille = 1000}).cause, "");
  EXPECT_EQ(loop.update({.now_us = 3 * kSecond, .cpus = 8}).cause,
            "threads 1 -> 8: no quota; spinning off -> allowed: processors are free; "
            "prefill chunk 32 -> 256: 100.0 % of full speed");
}

TEST(ControlLoop, rounds_a_quota_to_whole_processors) {
  struct Case {
    int quota_permille, threads;
  };
  for (Case c : {Case{1, 1}, Case{499, 1}, Case{1499, 1}, Case{1500, 2}, Case{2400, 2}, Case{90'000, 4},
                 Case{-7, 1}}) {
    ControlLoop loop({.asked_threads = 4});
    EXPECT_EQ(loop.update({.cpus = 8, .quota_permille = c.quota_permille}).threads, c.threads)
        << c.quota_permille;
  }
}

TEST(ControlLoop, follows_the_processors_that_are_left) {
  ControlLoop loop({.asked_threads = 4});
  loop.update({.cpus = 4});
  loop.update({.now_us = kSecond, .cpus = 1});
  loop.update({.now_us = 2 * kSecond, .cpus = 2});
  EXPECT_THAT(texts(loop),
              ElementsAre("threads 4 -> 1: 1 CPUs to run on", "threads 1 -> 2: 2 CPUs to run on"));
}

TEST(ControlLoop, without_foreign_load_cpu_pressure_stops_spinning_and_is_named) {
  ControlLoop loop({.asked_threads = 2, .policy = PowerPolicy::balanced});
  int64_t now_us = 0;
  const auto feed = [&](int pressure_permille) {
    for (int i = 0; i < 10; ++i, now_us += kPeriod) {
      loop.update({.now_us = now_us, .cpus = 2, .cpu_pressure_permille = pressure_permille});
    }
  };
  feed(455);
  feed(100);
  feed(50);
  EXPECT_THAT(texts(loop), ElementsAre("spinning allowed -> off: cpu pressure 45.5 % (foreign load unknown)",
                                       "spinning off -> allowed: processors are free"));
}

TEST(ControlLoop, caches_shrink_step_by_step_under_pressure_and_come_back_slowly) {
  ControlLoop loop({.asked_threads = 1, .cache_bytes = 800 * kMiB});
  int64_t now_us = 0;
  const auto feed = [&](int pressure_permille, int64_t for_us) {
    for (const int64_t end_us = now_us + for_us; now_us < end_us; now_us += kPeriod) {
      loop.update({.now_us = now_us, .memory_pressure_permille = pressure_permille});
    }
  };
  feed(125, 2 * kSecond + kPeriod);
  EXPECT_THAT(texts(loop), ElementsAre("caches 800.0 MiB -> 700.0 MiB: memory pressure 12.5 %",
                                       "caches 700.0 MiB -> 600.0 MiB: memory pressure 12.5 %"));
  feed(50, 60 * kSecond);  // neither pressure nor calm
  EXPECT_EQ(loop.changes().size(), 2u);
  feed(20, 10 * kSecond);
  EXPECT_EQ(loop.changes().size(), 2u);
  feed(20, 11 * kSecond);
  EXPECT_THAT(texts(loop),
              ElementsAre(testing::_, testing::_, "caches 600.0 MiB -> 700.0 MiB: no memory pressure",
                          "caches 700.0 MiB -> 800.0 MiB: no memory pressure"));
  feed(1000, 20 * kSecond);
  EXPECT_EQ(loop.update({.now_us = now_us, .memory_pressure_permille = 1000}).cache_bytes, 0u);
  EXPECT_EQ(loop.update({.now_us = now_us}).prefill_chunk, 128u);
}

TEST(ControlLoop, memory_is_watched_by_whatever_signal_there_is) {
  struct Case {
    Signals signals;
    int64_t falls_by;  // available bytes, each update
    const char* reason;
  };
  const auto available = [](uint64_t mib) { return std::optional<uint64_t>(mib * kMiB); };
  for (const Case& c : {
           Case{{.ledger_permille = 950}, 0, "95.0 % of the memory cap reserved"},
           Case{{.memory_pressure_permille = 0, .available_bytes = available(255)}, 0, "255.0 MiB available"},
           Case{{.io_pressure_permille = 300, .available_bytes = available(511)},
                0,
                "mapped pages are read again, io pressure 30.0 %"},
           Case{{.available_bytes = available(4000)},
                300 * kMiB,
                "available memory gone in 5 s at this rate (no pressure file)"},
       }) {
    ControlLoop loop({.asked_threads = 1, .cache_bytes = 8 * kMiB});
    Signals signals = c.signals;
    for (int i = 0; i < 4; ++i) {
      loop.update(signals);
      signals.now_us += kPeriod;
      if (signals.available_bytes) *signals.available_bytes -= static_cast<uint64_t>(c.falls_by);
    }
    EXPECT_THAT(texts(loop),
                ElementsAre(testing::StrEq("caches 8.0 MiB -> 7.0 MiB: " + std::string(c.reason))));
  }
}

TEST(ControlLoop, one_large_allocation_is_no_pressure) {
  ControlLoop loop({.asked_threads = 1, .cache_bytes = 8 * kMiB});
  for (int i = 0; i < 20; ++i) {
    loop.update({.now_us = i * kPeriod, .available_bytes = (i < 10 ? 4000 : 3000) * kMiB});
  }
  EXPECT_THAT(texts(loop), IsEmpty());
}

TEST(ControlLoop, heat_takes_threads_first_and_then_time) {
  ControlLoop loop({.asked_threads = 4});
  int64_t now_us = 0;
  const auto feed = [&](int temperature_c, int64_t for_us) {
    for (const int64_t end_us = now_us + for_us; now_us < end_us; now_us += kPeriod) {
      loop.update({.now_us = now_us, .cpus = 4, .temperature_c = temperature_c, .temperature_limit_c = 100});
    }
    return loop.update(
        {.now_us = now_us, .cpus = 4, .temperature_c = temperature_c, .temperature_limit_c = 100});
  };
  EXPECT_EQ(feed(96, 60 * kSecond).threads, 4);
  EXPECT_EQ(feed(97, 2 * kSecond).threads, 3);
  EXPECT_EQ(feed(97, 2 * kSecond).threads, 2);
  const Adjustment third = feed(98, 2 * kSecond);
  EXPECT_EQ(third.threads, 2);
  EXPECT_EQ(third.duty_permille, 900);
  EXPECT_THAT(third.cause, testing::HasSubstr("duty 100.0 % -> 90.0 %: temperature 98 C"));
  EXPECT_EQ(feed(100, 60 * kSecond).duty_permille, 300);
  EXPECT_EQ(feed(93, 60 * kSecond).duty_permille, 300);
  EXPECT_EQ(feed(92, 35 * kSecond).duty_permille, 1000);
  const Adjustment cool = feed(92, 10 * kSecond);
  EXPECT_EQ(cool.threads, 4);
  EXPECT_EQ(cool.spinning, Spinning::allowed);
}

TEST(ControlLoop, a_sensor_that_lies_is_ignored) {
  ControlLoop loop({.asked_threads = 4});
  for (int64_t i = 0; i < 40; ++i) {
    loop.update({.now_us = i * kPeriod, .cpus = 4, .temperature_c = 65'535, .temperature_limit_c = 100});
  }
  EXPECT_THAT(texts(loop), IsEmpty());
}

TEST(ControlLoop, power_save_halves_processors_and_computes_part_of_the_time) {
  ControlLoop loop({.asked_threads = 8, .policy = PowerPolicy::power_save, .power_save_duty_permille = 500});
  EXPECT_EQ(
      loop.update({.cpus = 4}).cause,
      "threads 8 -> 2: policy power_save; spinning allowed -> off: policy power_save; "
      "duty 100.0 % -> 50.0 %: policy power_save on mains; prefill chunk 256 -> 64: 25.0 % of full speed");
  EXPECT_EQ(
      loop.update({.now_us = kSecond, .cpus = 4, .power = PowerSource::battery}).cause,
      "duty 50.0 % -> 25.0 %: policy power_save on battery; prefill chunk 64 -> 32: 12.5 % of full speed");
  EXPECT_EQ(
      loop.update({.now_us = 2 * kSecond, .cpus = 4}).cause,
      "duty 25.0 % -> 50.0 %: policy power_save on mains; prefill chunk 32 -> 64: 25.0 % of full speed");
  ControlLoop restless({.asked_threads = 4, .policy = PowerPolicy::power_save});
  EXPECT_EQ(restless.update({.cpus = 4, .power = PowerSource::battery}).duty_permille, 1000);
  ControlLoop other({.asked_threads = 4, .policy = PowerPolicy::balanced});
  EXPECT_EQ(other.update({.cpus = 4, .power = PowerSource::battery}).duty_permille, 1000);
}

TEST(ControlLoop, the_log_keeps_the_latest_changes_and_counts_the_rest) {
  ControlLoop loop({.asked_threads = 4, .most_changes = 3});
  for (int i = 0; i < 10; ++i) loop.update({.now_us = i * kSecond, .cpus = 2 - i % 2});
  EXPECT_EQ(loop.changes().size(), 3u);
  EXPECT_EQ(loop.forgotten_changes(), 7u);
  EXPECT_EQ(loop.changes().back().text, "threads 2 -> 1: 1 CPUs to run on");
  EXPECT_EQ(loop.changes().back().at_us, 9 * kSecond);
}

TEST(ControlLoop, any_numbers_give_an_adjustment_within_its_ranges) {
  std::mt19937_64 numbers(9);
  const auto any = [&]() -> std::optional<int> {
    if (numbers() % 4 == 0) return std::nullopt;
    return static_cast<int>(numbers() % 3 == 0 ? numbers() : numbers() % 3000);
  };
  for (PowerPolicy policy : {PowerPolicy::performance, PowerPolicy::balanced, PowerPolicy::power_save}) {
    ControlLoop loop({.asked_threads = 6, .policy = policy, .cache_bytes = UINT64_MAX});
    for (int i = 0; i < 20'000; ++i) {
      Signals signals{.now_us = static_cast<int64_t>(numbers() >> 1),
                      .cpus = any().value_or(2),
                      .quota_permille = any(),
                      .own_permille = any(),
                      .foreign_permille = any(),
                      .cpu_pressure_permille = any(),
                      .memory_pressure_permille = any(),
                      .io_pressure_permille = any(),
                      .ledger_permille = any(),
                      .temperature_c = any(),
                      .temperature_limit_c = any()};
      if (i % 3 > 0) signals.available_bytes = numbers();
      const Adjustment& out = loop.update(signals);
      ASSERT_TRUE(out.threads >= 1 && out.threads <= 6) << out.threads;
      ASSERT_TRUE(out.prefill_chunk >= 16 && out.prefill_chunk <= 256) << out.prefill_chunk;
      ASSERT_TRUE(out.duty_permille >= 300 && out.duty_permille <= 1000) << out.duty_permille;
    }
  }
}

}  // namespace
}  // namespace qvl::scheduling
