#include "memory/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <random>
#include <thread>

#include "base/error.h"

namespace qvl {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

TEST(Ledger, holds_what_is_reserved_until_the_reservation_ends) {
  Ledger ledger(100);
  {
    auto kv = ledger.reserve(MemoryPart::kv, 60);
    ASSERT_TRUE(kv);
    EXPECT_EQ(kv->part(), MemoryPart::kv);
    EXPECT_EQ(kv->bytes(), 60u);
    EXPECT_EQ(ledger.free_bytes(), 40u);
    EXPECT_TRUE(ledger.reserve(MemoryPart::pixels, 40));
    EXPECT_EQ(ledger.report().peak_bytes, 100u);
  }
  const LedgerReport report = ledger.report();
  EXPECT_EQ(report.held_bytes, 0u);
  EXPECT_EQ(report.cap_bytes, 100u);
  EXPECT_EQ(report.of(MemoryPart::kv).held_bytes, 0u);
  EXPECT_EQ(report.of(MemoryPart::kv).peak_bytes, 60u);
  EXPECT_EQ(report.of(MemoryPart::pixels).peak_bytes, 40u);
  EXPECT_EQ(report.refusals, 0u);
}

TEST(Ledger, refuses_with_a_reason_and_the_missing_bytes) {
  Ledger ledger(4096 * kMiB);
  auto program = ledger.reserve(MemoryPart::program, 300 * kMiB);
  auto weights = ledger.reserve(MemoryPart::weights, 3696 * kMiB);
  const auto kv = ledger.reserve(MemoryPart::kv, 512 * kMiB);
  ASSERT_FALSE(kv);
  EXPECT_EQ(kv.refusal().cause, MemoryRefusal::Cause::limit);
  EXPECT_EQ(kv.refusal().part, MemoryPart::kv);
  EXPECT_EQ(kv.refusal().asked_bytes, 512 * kMiB);
  EXPECT_EQ(kv.refusal().free_bytes, 100 * kMiB);
  EXPECT_EQ(kv.refusal().missing_bytes, 412 * kMiB);
  EXPECT_EQ(kv.refusal().message,
            "not enough memory for kv 512.0 MiB: 100.0 MiB of 4.0 GiB free, 412.0 MiB missing "
            "(held: program 300.0 MiB + weights 3.6 GiB)");
  EXPECT_EQ(ledger.report().of(MemoryPart::kv).refusals, 1u);
  EXPECT_EQ(ledger.report().held_bytes, 3996 * kMiB);
}

TEST(Ledger, turns_a_refusal_into_an_error_where_that_is_asked_for) {
  Ledger ledger(10);
  EXPECT_EQ(ledger.reserve(MemoryPart::kv, 10).take_for("loading").bytes(), 10u);
  try {
    (void)ledger.reserve(MemoryPart::kv, 11).take_for("loading");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::limit);
    EXPECT_STREQ(error.what(),
                 "loading: not enough memory for kv 11 B: 10 B of 10 B free, 1 B missing (held: nothing)");
  }
}

TEST(Ledger, gives_several_parts_together_or_none) {
  Ledger ledger(100);
  const std::vector<MemoryNeed> fits = {
      {MemoryPart::vision, 50}, {MemoryPart::pixels, 20}, {MemoryPart::kv, 0}};
  auto granted = ledger.reserve(fits);
  ASSERT_TRUE(granted);
  ASSERT_EQ(granted->size(), 3u);
  EXPECT_EQ((*granted)[1].part(), MemoryPart::pixels);
  EXPECT_EQ((*granted)[1].bytes(), 20u);
  const std::vector<MemoryNeed> too_much = {{MemoryPart::vision, 20}, {MemoryPart::kv, 21}};
  const auto refused = ledger.reserve(too_much);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.refusal().part, MemoryPart::kv);
  EXPECT_EQ(refused.refusal().asked_bytes, 41u);
  EXPECT_EQ(refused.refusal().message,
            "not enough memory for vision 20 B + kv 21 B: 30 B of 100 B free, 11 B missing "
            "(held: vision 50 B + pixels 20 B)");
  EXPECT_EQ(ledger.report().of(MemoryPart::vision).held_bytes, 50u);
  EXPECT_EQ(ledger.report().of(MemoryPart::vision).peak_bytes, 50u);
  EXPECT_TRUE(ledger.reserve(std::span<const MemoryNeed>()));
}

TEST(Ledger, refuses_sums_that_no_number_holds) {
  Ledger ledger(std::numeric_limits<uint64_t>::max() - 1);
  const auto one = ledger.reserve(MemoryPart::other, 1);
  const uint64_t most = std::numeric_limits<uint64_t>::max();
  EXPECT_FALSE(ledger.reserve(MemoryPart::kv, most));
  const std::vector<MemoryNeed> twice = {{MemoryPart::kv, most / 2 + 1}, {MemoryPart::vision, most / 2 + 1}};
  EXPECT_FALSE(ledger.reserve(twice));
  EXPECT_EQ(ledger.report().held_bytes, 1u);
}

TEST(Ledger, lets_a_reservation_grow_while_there_is_room_and_shrink) {
  Ledger ledger(100);
  Reservation kv = *ledger.reserve(MemoryPart::kv, 10);
  EXPECT_EQ(kv.grow(90), std::nullopt);
  const auto refusal = kv.grow(1);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(refusal->missing_bytes, 1u);
  EXPECT_EQ(kv.bytes(), 100u);
  kv.shrink(70);
  EXPECT_EQ(kv.bytes(), 30u);
  EXPECT_EQ(ledger.free_bytes(), 70u);
}

TEST(Ledger, moves_bytes_between_parts_without_asking) {
  Ledger ledger(100);
  Reservation vision = *ledger.reserve(MemoryPart::vision, 100);
  Reservation pool = vision.split(40, MemoryPart::pool);
  EXPECT_EQ(vision.bytes(), 60u);
  EXPECT_EQ(ledger.report().of(MemoryPart::pool).held_bytes, 40u);
  EXPECT_EQ(ledger.report().of(MemoryPart::vision).held_bytes, 60u);
  pool.absorb(std::move(vision));
  EXPECT_EQ(pool.bytes(), 100u);
  EXPECT_EQ(vision.bytes(), 0u);  // NOLINT: the moved-from state is part of the contract
  EXPECT_EQ(ledger.report().of(MemoryPart::pool).held_bytes, 100u);
  EXPECT_EQ(ledger.report().held_bytes, 100u);
  EXPECT_EQ(ledger.report().peak_bytes, 100u);
}

TEST(Ledger, gives_back_once_when_reservations_are_moved) {
  Ledger ledger(100);
  Reservation first = *ledger.reserve(MemoryPart::kv, 30);
  Reservation second = std::move(first);
  Reservation third = *ledger.reserve(MemoryPart::vision, 50);
  third = std::move(second);
  EXPECT_EQ(ledger.report().held_bytes, 30u);
  EXPECT_EQ(ledger.report().of(MemoryPart::vision).held_bytes, 0u);
  Reservation& same = third;
  third = std::move(same);
  EXPECT_EQ(ledger.report().held_bytes, 30u);
}

TEST(Ledger, grants_nothing_above_a_lowered_cap_until_enough_is_back) {
  Ledger ledger(100);
  Reservation held = *ledger.reserve(MemoryPart::kv, 80);
  ledger.set_cap(50);
  EXPECT_EQ(ledger.free_bytes(), 0u);
  const auto refused = ledger.reserve(MemoryPart::vision, 10);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.refusal().free_bytes, 0u);
  EXPECT_EQ(refused.refusal().missing_bytes, 40u);
  EXPECT_TRUE(ledger.reserve(MemoryPart::vision, 0));
  held.shrink(39);
  EXPECT_FALSE(ledger.reserve(MemoryPart::vision, 10));
  held.shrink(1);
  EXPECT_TRUE(ledger.reserve(MemoryPart::vision, 10));
}

// A cache of entries of 10 bytes that lets the oldest go.
struct SmallCache {
  SmallCache(Ledger& ledger, size_t count) {
    for (size_t i = 0; i < count; ++i) entries.push_back(*ledger.reserve(MemoryPart::caches, 10));
  }
  uint64_t release(uint64_t wanted) {
    uint64_t released = 0;
    while (released < wanted && !entries.empty()) {
      entries.erase(entries.begin());
      released += 10;
    }
    return released;
  }
  std::vector<Reservation> entries;
};

TEST(Ledger, takes_a_new_cap_where_that_holds_what_is_held) {
  Ledger ledger(100 * kMiB);
  auto weights = *ledger.reserve(MemoryPart::weights, 60 * kMiB);
  auto cached = *ledger.reserve(MemoryPart::caches, 30 * kMiB);
  const auto cache = ledger.reclaimers().add(ReclaimStage::caches, [&](uint64_t wanted) {
    const uint64_t given = std::min(wanted, cached.bytes());
    cached.shrink(given);
    return given;
  });
  EXPECT_EQ(ledger.try_set_cap(95 * kMiB), std::nullopt);
  EXPECT_EQ(cached.bytes(), 30 * kMiB);
  EXPECT_EQ(ledger.try_set_cap(70 * kMiB), std::nullopt);
  EXPECT_EQ(cached.bytes(), 10 * kMiB);
  EXPECT_EQ(ledger.cap_bytes(), 70 * kMiB);
  EXPECT_EQ(ledger.try_set_cap(59 * kMiB),
            "59.0 MiB are not enough for what is held, 1.0 MiB missing (held: weights 60.0 MiB)");
  EXPECT_EQ(ledger.cap_bytes(), 70 * kMiB);
  EXPECT_EQ(ledger.try_set_cap(200 * kMiB), std::nullopt);
  EXPECT_EQ(ledger.free_bytes(), 140 * kMiB);
}

TEST(Ledger, asks_the_reclaimers_for_the_missing_bytes_before_it_refuses) {
  Ledger ledger(100);
  SmallCache cache(ledger, 10);
  std::vector<uint64_t> asked;
  const auto registration = ledger.reclaimers().add(ReclaimStage::caches, [&](uint64_t wanted) {
    asked.push_back(wanted);
    return cache.release(wanted);
  });
  auto kv = ledger.reserve(MemoryPart::kv, 25);
  ASSERT_TRUE(kv);
  EXPECT_EQ(cache.entries.size(), 7u);
  EXPECT_EQ(ledger.report().held_bytes, 95u);
  EXPECT_EQ(kv->grow(15), std::nullopt);
  EXPECT_EQ(cache.entries.size(), 6u);
  EXPECT_THAT(asked, testing::ElementsAre(25, 10));
  EXPECT_EQ(ledger.report().refusals, 0u);
}

TEST(Ledger, makes_room_and_holds_nothing) {
  Ledger ledger(100);
  const auto weights = ledger.reserve(MemoryPart::weights, 60);
  SmallCache cache(ledger, 3);
  const auto registration =
      ledger.reclaimers().add(ReclaimStage::caches, [&](uint64_t wanted) { return cache.release(wanted); });
  EXPECT_TRUE(ledger.make_room(10));
  EXPECT_EQ(cache.entries.size(), 3u);
  EXPECT_TRUE(ledger.make_room(15));
  EXPECT_EQ(cache.entries.size(), 2u);
  EXPECT_FALSE(ledger.make_room(41));
  EXPECT_FALSE(ledger.make_room(101));
  const LedgerReport report = ledger.report();
  EXPECT_EQ(report.held_bytes, 60u);
  EXPECT_EQ(report.peak_bytes, 90u);
  EXPECT_EQ(report.refusals, 0u);
}

TEST(Ledger, keeps_the_caches_where_their_end_would_not_help) {
  Ledger ledger(100);
  SmallCache cache(ledger, 5);
  const auto registration =
      ledger.reclaimers().add(ReclaimStage::caches, [&](uint64_t wanted) { return cache.release(wanted); });
  EXPECT_FALSE(ledger.reserve(MemoryPart::kv, 101));
  EXPECT_EQ(cache.entries.size(), 5u);
}

TEST(Ledger, refuses_what_does_not_fit_when_all_was_reclaimed) {
  Ledger ledger(100);
  const auto weights = ledger.reserve(MemoryPart::weights, 60);
  SmallCache cache(ledger, 4);
  const auto registration =
      ledger.reclaimers().add(ReclaimStage::caches, [&](uint64_t wanted) { return cache.release(wanted); });
  const auto refused = ledger.reserve(MemoryPart::kv, 50);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.refusal().missing_bytes, 10u);
  EXPECT_EQ(refused.refusal().free_bytes, 40u);
}

TEST(Ledger, lets_a_reclaimer_reserve_and_does_not_ask_it_again) {
  Ledger ledger(100);
  Reservation held = *ledger.reserve(MemoryPart::caches, 100);
  int calls = 0;
  bool granted_inside = false, refused_inside = false;
  const auto registration = ledger.reclaimers().add(ReclaimStage::caches, [&](uint64_t) -> uint64_t {
    ++calls;
    refused_inside = !ledger.reserve(MemoryPart::staging, 50);
    held.shrink(60);
    granted_inside = static_cast<bool>(ledger.reserve(MemoryPart::staging, 50));
    return 60;
  });
  EXPECT_TRUE(ledger.reserve(MemoryPart::kv, 60));
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(refused_inside);
  EXPECT_TRUE(granted_inside);
}

TEST(Reclaimers, are_asked_by_stage_and_the_heap_only_for_what_was_released) {
  Reclaimers reclaimers;
  std::vector<std::string> asked;
  const auto gives = [&](const char* name, uint64_t bytes) {
    return [&asked, name, bytes](uint64_t wanted) {
      asked.push_back(std::string(name) + " " + std::to_string(wanted));
      return bytes;
    };
  };
  const auto heap = reclaimers.add(ReclaimStage::heap, gives("heap", 1));
  const auto pool = reclaimers.add(ReclaimStage::pool, gives("pool", 5));
  auto first = reclaimers.add(ReclaimStage::caches, gives("first", 0));
  const auto second = reclaimers.add(ReclaimStage::caches, gives("second", 3));
  const auto want = [](uint64_t bytes) {
    return [bytes](uint64_t released) { return bytes - std::min(bytes, released); };
  };
  auto want_ten = want(10);
  const Reclaimed done = reclaimers.run(want_ten);
  EXPECT_THAT(asked, testing::ElementsAre("first 10", "second 10", "pool 7", "heap 2"));
  EXPECT_EQ(done.caches, 3u);
  EXPECT_EQ(done.pool, 5u);
  EXPECT_EQ(done.heap, 1u);
  EXPECT_EQ(done.total(), 9u);

  asked.clear();
  first = Reclaimers::Registration();  // ends it
  auto want_three = want(3);
  EXPECT_EQ(reclaimers.run(want_three).total(), 3u);
  EXPECT_THAT(asked, testing::ElementsAre("second 3"));
  auto want_nothing = want(0);
  EXPECT_EQ(reclaimers.run(want_nothing).total(), 0u);
}

TEST(Reclaimers, leave_the_heap_alone_where_nothing_was_released) {
  Reclaimers reclaimers;
  bool trimmed = false;
  const auto heap = reclaimers.add(ReclaimStage::heap, [&](uint64_t) -> uint64_t {
    trimmed = true;
    return 0;
  });
  const auto cache = reclaimers.add(ReclaimStage::caches, [](uint64_t) -> uint64_t { return 0; });
  auto want = [](uint64_t) -> uint64_t { return 1; };
  EXPECT_EQ(reclaimers.run(want).total(), 0u);
  EXPECT_FALSE(trimmed);
}

// Threads reserve, grow, shrink, move and give back at random, with a cache that lets go, under a cap that
// another thread moves. The sum each thread knows of itself must be what the ledger says.
TEST(Ledger, is_exact_while_many_threads_take_and_give_back) {
  constexpr uint64_t kCap = 1000;
  constexpr int kThreads = 4, kRounds = 4000;
  Ledger ledger(kCap);
  std::mutex cache_lock;
  SmallCache cache(ledger, 30);
  const auto registration = ledger.reclaimers().add(ReclaimStage::caches, [&](uint64_t wanted) {
    const std::lock_guard lock(cache_lock);
    return cache.release(wanted);
  });
  std::atomic<uint64_t> held{0}, most{0}, refusals{0};
  const auto count = [&](uint64_t more) {
    const uint64_t now = held += more;
    for (uint64_t seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
    }
  };
  const auto work = [&](unsigned seed) {
    std::mt19937 random(seed);
    std::vector<Reservation> mine;
    for (int round = 0; round < kRounds; ++round) {
      const uint64_t bytes = random() % 200;
      switch (random() % 4) {
        case 0:
          if (auto got = ledger.reserve(static_cast<MemoryPart>(random() % kMemoryParts), bytes)) {
            count(bytes);
            mine.push_back(std::move(*got));
          } else {
            ++refusals;
          }
          break;
        case 1:
          if (mine.empty()) break;
          if (mine.back().grow(bytes)) {
            ++refusals;
          } else {
            count(bytes);
          }
          break;
        case 2:
          if (mine.size() < 2) break;
          mine[0].absorb(mine.back().split(mine.back().bytes() / 2, MemoryPart::pool));
          break;
        default:
          if (mine.empty()) break;
          held -= mine.back().bytes();
          mine.pop_back();
      }
    }
    for (const Reservation& reservation : mine) held -= reservation.bytes();
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(work, 100 + i);
  for (int i = 0; i < 200; ++i) {
    ledger.set_cap(i % 2 == 0 ? kCap / 2 : kCap);
    const LedgerReport report = ledger.report();
    uint64_t sum = 0;
    for (const auto& part : report.parts) sum += part.held_bytes;
    ASSERT_EQ(report.held_bytes, sum);
    ASSERT_LE(report.held_bytes, kCap);
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(held, 0u);
  EXPECT_EQ(ledger.report().held_bytes, 10 * cache.entries.size());
  EXPECT_EQ(ledger.report().refusals, refusals);
  EXPECT_GT(refusals, 0u);
  EXPECT_LE(most, kCap);
  EXPECT_LE(ledger.report().peak_bytes, kCap);
}

TEST(LedgerDeathTest, notices_reservations_that_outlive_it) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Reservation left;
        Ledger ledger(10);
        left = *ledger.reserve(MemoryPart::kv, 1);
      },
      "held_ == 0 does not hold");
}

}  // namespace
}  // namespace qvl
